"""The labels of one graph, and what its weights do with them: produce channels, or read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.compression.channels.labels import Ids, Labels, fixed

Shape = Sequence[int]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A tensor's labels, one array per dimension."""

    dims: list[Ids]
    computed: bool = True
    """Whether it depends on the network's inputs; otherwise it is a weight, or computed from weights alone."""


@dataclass(slots=True)
class Joint:
    """The labels of a graph, and which of them its weights produce or read."""

    labels: Labels = field(default_factory=Labels)
    produced: set[int] = field(default_factory=set)
    read: set[int] = field(default_factory=set)

    def contract(self, weight: Labelled, dimension: int, ids: Ids) -> None:
        """Sum over a dimension of a weight and one of another tensor: the weight reads those channels."""
        self.labels.join(weight.dims[dimension], ids)
        if not weight.computed:
            self.read.update(weight.dims[dimension].tolist())

    def produce(self, weight: Labelled, dimension: int) -> Ids:
        """The labels of a dimension that a weight gives to its result."""
        if not weight.computed:
            self.produced.update(weight.dims[dimension].tolist())
        return weight.dims[dimension]

    def broadcast(self, operands: Sequence[Labelled], shape: Shape) -> list[Ids]:
        """Join the operands' dimensions, aligned from the last; dimensions of size 1 are spread."""
        result = []
        for place, size in enumerate(shape):
            ids: Ids | None = None
            for operand in operands:
                at = place - len(shape) + len(operand.dims)
                if at < 0 or len(operand.dims[at]) != size:
                    continue
                if ids is None:
                    ids = operand.dims[at]
                else:
                    self.labels.join(ids, operand.dims[at])
            result.append(fixed(size) if ids is None else ids)
        return result


Rule = Callable[[Joint, list[Any], dict[str, Any], Shape], list[Ids] | list[Labelled]]
"""From arguments, named arguments and the result's shape to the labels of the result, or of each of several results."""


def tensors(values: Any) -> list[Labelled]:
    """The labelled tensors among arguments, in order."""
    if isinstance(values, Labelled):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [tensor for value in values for tensor in tensors(value)] if isinstance(values, list | tuple) else []


def argument(args: Sequence[Any], place: int, default: Any = None) -> Any:
    return args[place] if len(args) > place else default


def same(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    return joint.broadcast([*tensors(args), *tensors(kwargs)], shape)
