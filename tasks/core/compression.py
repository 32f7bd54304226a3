"""Interfaces of compression: networks, channel groups, compression steps, and the context that a step gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from tasks.core.problem import PreprocessingState, Problem
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import Array

DENSE = "dense"
"""The recipe without steps. Every other recipe is compared with it."""
EAGER = "eager PyTorch"
"""The latency variant that runs the dense network in PyTorch, before any export. No recipe name contains a space."""


@runtime_checkable
class Network(Protocol):
    """What every network offers besides being an `nn.Module`."""

    fields: dict[str, Any]
    """The constructor's keyword arguments as plain JSON values: `type(network)(**network.fields)` rebuilds the network."""


@runtime_checkable
class GroupedNetwork(Network, Protocol):
    """A network that declares its channel groups, and whose fields say how many channels each has.

    The groups of any other network are traced through its graph (`tasks/compression/channels`).
    """

    def groups(self) -> dict[str, ChannelGroup]:
        """The channel groups that can be pruned, by name."""


def parameter_count(network: nn.Module) -> int:
    """The number of parameters of the network, frozen ones included; of an ONNX file the values of its constants."""
    if hasattr(network, "weight_count"):
        return int(network.weight_count())  # type: ignore[operator]
    return sum(weight.numel() for weight in network.parameters())


def described_fields(network: nn.Module) -> dict[str, Any]:
    """The network's fields for reports and files that are shipped: without the source text of a person's own network."""
    fields: dict[str, Any] = network.fields  # type: ignore[assignment]
    return {name: value for name, value in fields.items() if name != "source"}


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that are pruned together, such as the output channels of one convolution.

    `producers` are the tensors whose slices produce the channels, as `(state_dict key, dimension)`; the norm of a slice
    is the channel's importance. `consumers` are the other tensors with the same channels, as `(key, dimension, repeat)`:
    each channel spans `repeat` consecutive entries (more than 1 after a feature map was flattened).
    `resize(fields, count)` returns the constructor's arguments for `count` channels in this group.
    """

    size: int
    producers: tuple[tuple[str, int], ...]
    consumers: tuple[tuple[str, int, int], ...]
    resize: Callable[[dict[str, Any], int], dict[str, Any]]
    ranked: bool = False
    """Whether channels are in order of importance, so that only the last can be pruned: rows of an embedding by frequency."""


def resize_field(name: str, position: int | None = None) -> Callable[[dict[str, Any], int], dict[str, Any]]:
    """The `resize` of a group whose size is the field `name`, or its entry at `position` where the field is a list."""

    def resize(fields: dict[str, Any], count: int) -> dict[str, Any]:
        if position is None:
            return {**fields, name: count}
        return {**fields, name: [count if index == position else size for index, size in enumerate(fields[name])]}

    return resize


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionContext:
    """What a compression step may use: the encoded train and validation rows, but no test row."""

    case: UseCase
    state: PreprocessingState
    inputs: Array
    targets: Array
    validation_inputs: Array
    validation_targets: Array
    score: Callable[[Array], float]
    """The first metric of outputs for the validation rows, with the sign that makes higher better."""
    event_log: EventLog
    scratch: Path
    """A folder that a killed stage keeps, for the checkpoints of a fit."""
    dense: nn.Module | None = None
    """The network before any step, the teacher of steps that follow another; None where a step is called by itself."""
    read_train: Callable[[], Sequence[DataFrame]] = tuple
    """Reads the train rows, then their augmented variants: tables whose rows have the order of `inputs`."""
    read_validation: Callable[[], Sequence[DataFrame]] = tuple
    """Reads the validation rows."""
    read_unlabelled: Callable[[], Sequence[DataFrame]] = tuple
    """Reads the rows without a label, which only a pretrained teacher may label."""
    answers: dict[str, Any] = field(default_factory=dict)
    """What teachers answered, for the steps of one recipe that ask the same."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What steps report of their choices, by name of the step: plain JSON values, written to the recipe's report."""

    @property
    def problem(self) -> Problem:
        """The problem of the rows that the state was fitted on."""
        return self.case.problem_of(self.state)


class NetworkStep(Protocol):
    """A step that changes the network: it returns a new torch network and leaves its input unchanged."""

    changes: ClassVar[Literal["network"]] = "network"

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module: ...


class FormatStep(Protocol):
    """A step that changes the number format: it takes a serialised ONNX model and returns another."""

    changes: ClassVar[Literal["format"]] = "format"

    def __call__(self, model: bytes, context: CompressionContext) -> bytes: ...


Step = NetworkStep | FormatStep
