"""The promises everything else is written against: a use case, a network, a compression step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar, dataclass_transform, runtime_checkable

import pydantic
from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import pandera.pandas as pa
    from numpy.typing import NDArray
    from pandas import DataFrame, Series
    from torch import Tensor, nn

    from tasks.journal import Journal

    Array = NDArray[np.generic]

T = TypeVar("T")

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0..1."""


class Mistake(ValueError):
    """A person's mistake, said in one line: what came, what would do, and the nearest right thing."""


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

    own: ClassVar[tuple[str, ...]] = ("path",)
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

    def held(self, name: str) -> str:
        """What the file or folder that setting `name` names held when the run was asked for, empty where nobody wrote it down."""
        named = [setting for setting in self.own if getattr(self, setting)]
        known = self.fingerprint.split("+") if self.fingerprint else [""] * len(named)
        if len(known) != len(named):
            raise Mistake(
                f"fetch.fingerprint tells of {len(known)}, but {len(named)} are named by {', '.join(self.own)}; leave it empty"
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


Learnt = Mapping[str, Any]
"""What a use case learnt from train rows (scale, vocabulary, class names): plain JSON values, kept in the checkpoint."""


class UseCase(Protocol):
    """One problem worth a small model.

    Rows stay a table until `encode` and become a table again in `decode`; only between the two
    are there arrays and tensors. The settings below are the sections of the use case's stanza in params.yaml.
    The module must import without torch: networks and losses are imported inside the methods that need them.
    """

    fetch: Fetch
    clean: Clean
    augment: Any
    model: Any
    training: Training
    contract: Contract

    Rows: ClassVar[type[pa.DataFrameModel]]
    """A clean row, without `split`."""
    key: ClassVar[tuple[str, ...]]
    """The columns that make two rows the same."""
    classes: ClassVar[str] = ""
    """The column whose every value must stand in every split, empty if there is none."""
    higher_is_better: ClassVar[bool] = True
    """Whether the first metric of `score` is to be raised or lowered."""

    def schema(self, rows: DataFrame) -> pa.DataFrameSchema:
        """A clean row, without `split`, of the raw or clean rows given; by default `Rows`, whatever they are.

        A use case for tables of any make adds the columns it finds.
        """
        return self.Rows.to_schema()

    @abstractmethod
    def raw(self) -> Iterator[DataFrame]:
        """Raw rows in blocks, as they come, each with `file` (str) and `row` (int): where it was found."""

    @abstractmethod
    def judge(self, rows: DataFrame) -> DataFrame:
        """Every raw row with its verdict, same length and order: the columns of `schema`, mended where they could be,
        `fault` (why it must be quarantined, empty if kept) and `fix` (what was mended, empty if nothing; several are
        joined by "; ", and one that begins with "seen " only remarks on what was left as it is).
        Runs once per partition, on a Dask worker.
        """

    def likeness(self, rows: DataFrame) -> Series:
        """A key that near-duplicates share (str); rows alike land in the same split. By default the exact key.

        Called once for all good rows together, without their columns of bytes.
        """
        from tasks.split import row_keys

        return row_keys(rows, self.key)

    def relate(self, rows: DataFrame) -> DataFrame:
        """What a row knows only beside others, such as the days before it: columns to add, and `fault` and `fix` as in `judge`.

        `rows` are all rows without a fault at once, in their order, repeated ones among them, columns of bytes left out;
        the result is indexed like them. By default nothing is added and nothing found.
        """
        return rows[[]].assign(fault="", fix="")

    def split(self, rows: DataFrame, likeness: Series) -> Series:
        """`train`, `validation` or `test` for each clean row, by default by hash of `likeness`, never by row order.

        A row that only others need, as the past of a series is needed, is `context`: kept, but in no split.
        Called once for all good rows together, without their columns of bytes.
        """
        from tasks.split import by_hash

        return by_hash(likeness, self.clean.validation_share, self.clean.test_share)

    def variants(self, rows: DataFrame, seed: int) -> DataFrame:
        """More train rows from the train rows given, materialised; by default none."""
        return rows.head(0)

    def preview(self, rows: DataFrame, seed: int) -> DataFrame:
        """A few rows beside variants of them, for a person to look at: `original` (int) and `variant` (int, 0 = as it came)."""
        return rows.head(0)

    def policy(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The augmentation of a batch on its device: `(inputs (B, ...), uniform random numbers (B, R)) -> inputs`, or none."""
        return None

    @abstractmethod
    def learn(self, rows: DataFrame) -> Learnt:
        """What the model must know of the train rows before it is built."""

    @abstractmethod
    def encode(self, rows: DataFrame, learnt: Learnt) -> tuple[Array, Array]:
        """N rows to inputs (N, ...) and targets (N, ...)."""

    @abstractmethod
    def network(self, learnt: Learnt) -> nn.Module:
        """A fresh network, unfitted."""

    def begin(self, network: nn.Module, inputs: Array, targets: Array) -> None:
        """Give a fresh network what encoded train rows tell before any step; nothing unless a use case has it."""

    def student(self, learnt: Learnt, width_share: float) -> nn.Module:
        """A fresh smaller network to distil into; by default the same architecture, narrower."""
        raise Mistake(f"{type(self).__name__.lower()} has no student network; leave 'distill' out of its recipes")

    def shipped(self, learnt: Learnt, network: nn.Module) -> Learnt:
        """Of what was learnt, what goes into the shipped file with `network`: by default all of it."""
        return learnt

    def shown(self, network: nn.Module, learnt: Learnt) -> dict[str, Any]:
        """What a fitted network can show of itself, such as texts it writes; plain JSON values, kept in its report."""
        return {}

    def explain(self, rows: DataFrame, learnt: Learnt, answer: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """What each part of these few rows was worth to the answer; `answer` gives the shipped file's outputs for inputs.

        One list per row of `{start, end, weight}`: which characters, and by how much the probability of the answer falls
        without them. By default nothing.
        """
        return [[] for _ in range(len(rows))]

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A scalar to bring down."""

    def imitation(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """A scalar to bring down when `outputs` are to be like a teacher's (a network that knows more).

        By default, for classes: the divergence of the softened answers over the last dimension (Hinton et al. 2015,
        arXiv 1503.02531); for targets that are real numbers: the mean squared difference.
        """
        from torch.nn import functional

        if targets.is_floating_point():
            return functional.mse_loss(outputs, teacher_outputs)
        answers = functional.log_softmax(outputs.float() / temperature, dim=-1)
        wanted = functional.log_softmax(teacher_outputs.float() / temperature, dim=-1)
        rows = answers.numel() / answers.shape[-1]
        return functional.kl_div(answers, wanted, reduction="sum", log_target=True) * (temperature**2 / rows)

    @abstractmethod
    def decode(self, rows: DataFrame, outputs: Array, learnt: Learnt) -> DataFrame:
        """One prediction per row, with what a person needs to judge it."""

    @abstractmethod
    def score(self, predictions: DataFrame) -> dict[str, float]:
        """The measures of success, first the one that matters most."""

    @abstractmethod
    def goodness(self, predictions: DataFrame) -> Array:
        """The first metric row by row (N,), such that its mean is the metric: what paired statistics resample."""

    @abstractmethod
    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """What a person reads beside the scores: confusion, per-class table, calibration; plain JSON values."""

    @abstractmethod
    def baselines(self, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
        """Predictions of the trivial and the classic rivals for `rows`, shaped like those of `decode`."""

    def against(self, predictions: DataFrame, rival: DataFrame) -> dict[str, Any] | None:
        """How much better the first metric is than a rival's on the same rows: `value` (positive is better), `low` and `high`
        (95 %), `method`; plain JSON values. None, the default, takes a paired interval over rows that know nothing of each other.
        """
        return None

    def objections(self, predictions: DataFrame) -> list[str]:
        """What forbids a release whatever the scores are, one line each; by default nothing."""
        return []


@runtime_checkable
class Network(Protocol):
    """What every architecture in `tasks/models` keeps besides being an `nn.Module`."""

    fields: dict[str, Any]
    """The constructor's keyword arguments, plain JSON values: `type(network)(**network.fields)` rebuilds it."""

    def groups(self) -> dict[str, Group]:
        """The channel groups that may be made narrower, by name."""


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that live and die together, such as those of one convolution.

    `owners` are the tensors whose slices produce the channels, `(state_dict key, dimension)`; their norms say what
    a channel is worth. `followers` are the other tensors that carry the same channels, as `(key, dimension, repeat)`:
    each channel spans `repeat` neighbouring entries there (a flattened feature map), 1 in the plain case.
    `resize(fields, count)` gives the constructor's arguments with `count` channels in this group.
    """

    size: int
    owners: tuple[tuple[str, int], ...]
    followers: tuple[tuple[str, int, int], ...]
    resize: Callable[[dict[str, Any], int], dict[str, Any]]
    ranked: bool = False
    """Whether the first channels are worth the most, so that only the last may go: rows of a table by how common they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a compression step finds on the table: train and validation rows as arrays, never a test row."""

    case: UseCase
    learnt: Learnt
    inputs: Array
    targets: Array
    validation_inputs: Array
    validation_targets: Array
    score: Callable[[Array], float]
    """The first metric of these outputs for the validation rows, turned so that more is better."""
    journal: Journal
    scratch: Path
    """A folder that outlives a killed stage: where a fit keeps its crash-safe checkpoint."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What a step wants known of its choices, by the step's name: plain JSON values, kept in the recipe's report."""


class NetworkStep(Protocol):
    """Changes the network: takes a torch network, returns a new one and leaves the given one as it was."""

    changes: ClassVar[Literal["network"]] = "network"

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module: ...


class FormatStep(Protocol):
    """Changes the number format: takes a serialised ONNX model, returns another."""

    changes: ClassVar[Literal["format"]] = "format"

    def __call__(self, model: bytes, bench: Bench) -> bytes: ...


Step = NetworkStep | FormatStep
