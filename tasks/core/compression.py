"""What a compression step is given, and what it may change: networks, channel groups, steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from tasks.core.event_log import EventLog

    Array = NDArray[np.generic]
from tasks.core.problem import Problem
from tasks.core.use_case import PreprocessingState, UseCase

DENSE = "dense"
"""The recipe without steps. Every other recipe is compared with it."""
EAGER = "eager PyTorch"
"""The latency variant that runs the dense network in PyTorch, before any export. No recipe name contains a space."""


@runtime_checkable
class Network(Protocol):
    """What every architecture in `tasks/models` keeps besides being an `nn.Module`."""

    fields: dict[str, Any]
    """The constructor's keyword arguments, plain JSON values: `type(network)(**network.fields)` rebuilds it."""

    def groups(self) -> dict[str, ChannelGroup]:
        """The channel groups that may be made narrower, by name."""


def parameter_count(network: nn.Module) -> int:
    """The number of parameters of the network, frozen ones included."""
    return sum(weight.numel() for weight in network.parameters())


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that live and die together, such as those of one convolution.

    `producers` are the tensors whose slices produce the channels, `(state_dict key, dimension)`; their norms say what
    a channel is worth. `consumers` are the other tensors that carry the same channels, as `(key, dimension, repeat)`:
    each channel spans `repeat` neighbouring entries there (a flattened feature map), 1 in the plain case.
    `resize(fields, count)` gives the constructor's arguments with `count` channels in this group.
    """

    size: int
    producers: tuple[tuple[str, int], ...]
    consumers: tuple[tuple[str, int, int], ...]
    resize: Callable[[dict[str, Any], int], dict[str, Any]]
    ranked: bool = False
    """Whether the first channels are worth the most, so that only the last may go: rows of a table by how common they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionContext:
    """What a compression step finds on the table: train and validation rows as arrays, never a test row."""

    case: UseCase
    state: PreprocessingState
    inputs: Array
    targets: Array
    validation_inputs: Array
    validation_targets: Array
    score: Callable[[Array], float]
    """The first metric of these outputs for the validation rows, turned so that more is better."""
    event_log: EventLog
    scratch: Path
    """A folder that outlives a killed stage: where a fit keeps its crash-safe checkpoint."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What a step wants known of its choices, by the step's name: plain JSON values, kept in the recipe's report."""

    @property
    def problem(self) -> Problem:
        """The problem of the rows that the state was fitted on."""
        return self.case.problem_of(self.state)


class NetworkStep(Protocol):
    """Changes the network: takes a torch network, returns a new one and leaves the given one as it was."""

    changes: ClassVar[Literal["network"]] = "network"

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module: ...


class FormatStep(Protocol):
    """Changes the number format: takes a serialised ONNX model, returns another."""

    changes: ClassVar[Literal["format"]] = "format"

    def __call__(self, model: bytes, context: CompressionContext) -> bytes: ...


Step = NetworkStep | FormatStep
