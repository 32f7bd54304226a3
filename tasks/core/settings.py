"""Settings as frozen dataclasses, and those that every use case has."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar, dataclass_transform

import pydantic
from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
from tasks.core.errors import UserError

T = TypeVar("T")

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0..1."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field, field))
def settings(cls: type[T]) -> type[T]:
    """A frozen dataclass whose fields are parameters: typed, bounded, and strict about unknown names.

    Bounds are written `Annotated[int, Field(ge=1)]`; the docstring under a field is its help text.
    """
    config = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)
    return pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=config)  # type: ignore[return-value]


@settings
class Fetch:
    """Where the raw rows come from. A use case adds the columns it needs by subclassing."""

    path_settings: ClassVar[tuple[str, ...]] = ("path",)
    """The settings that name a file or folder of a person's own; other content there makes the stage out of date."""

    source: Literal["packaged", "download", "path"] = "packaged"
    """`packaged` ships with a dependency, `download` is fetched and checked once, `path` is your own."""
    dataset: str = ""
    """Which data set the source holds, by name; empty for the use case's first."""
    path: str = ""
    """A file or folder of your own; setting it makes the source `path`."""
    fingerprint: str = ""
    """What each of `own` held when the run was asked for (sha256, joined by +, written by `bonsai run`); else it is refused."""
    limit: Annotated[int, Field(ge=0)] = 0
    """Keep at most this many raw rows, 0 for all."""
    partition_rows: Annotated[int, Field(ge=1)] = 2500
    """Rows a partition holds: the unit of work of a Dask worker, whatever the number of workers."""

    def __post_init__(self) -> None:
        if self.path and self.source == "packaged":
            object.__setattr__(self, "source", "path")
        if self.source == "path" and not self.path:
            raise ValueError("source is 'path' but path is empty; name a file or folder, as in fetch.path=my.csv")

    def expected_fingerprint(self, name: str) -> str:
        """What the file or folder that setting `name` names held when the run was asked for, empty where nobody wrote it down."""
        named = [setting for setting in self.path_settings if getattr(self, setting)]
        known = self.fingerprint.split("+") if self.fingerprint else [""] * len(named)
        if len(known) != len(named):
            raise UserError(
                f"fetch.fingerprint holds {len(known)} checksums, but {len(named)} of {', '.join(self.path_settings)} are set; "
                "leave it empty"
            )
        return dict(zip(named, known, strict=True)).get(name, "")


@settings
class Clean:
    """How much dirt is borne, and how the clean rows are dealt into splits."""

    max_reject_share: Share = 0.05
    """Stop when more than this share of the raw rows is quarantined."""
    validation_share: Share = 0.15
    test_share: Share = 0.15


@settings
class Augment:
    """How rows are varied; a use case adds what suits its data by subclassing."""


@settings
class Model:
    """Which network is built; a use case adds its architecture and its sizes by subclassing."""


@settings
class Training:
    """How a network is fitted. The one loop in `fit.py` reads nothing else."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 8
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "adagrad", "adafactor", "muon"] = "adamw"
    """`muon` moves the hidden matrices and kernels; what is left goes to AdamW."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.002
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warmup_share: Share = 0.2
    """Share of the steps in which the learning rate rises."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Beta parameter of mixup (Zhang et al. 2018), 0 for none."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of the exponential moving average of the weights, 0 for none."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Largest gradient norm, 0 for no clipping."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are summed before a step."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better validation score before training stops, 0 for never."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` times the network and takes bf16 only where it clearly pays."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads; other counts give other bytes."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7


@settings
class Contract:
    """What a released model must keep and gain, against dense, shown with 95 % confidence."""

    max_drop: Share = 0.01
    """Most of the first metric that may be lost."""
    min_speedup: Annotated[float, Field(ge=0)] = 2.0
    """At least this many times faster than the dense ONNX model at batch 1."""
    max_size_share: Share = 0.3
    """At most this share of the dense model's bytes."""
