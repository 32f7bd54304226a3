"""The interface of a use case."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tasks.core.errors import UserError
from tasks.core.settings import Clean, Contract, Fetch, Training

if TYPE_CHECKING:
    import numpy as np
    import pandera.pandas as pa
    from numpy.typing import NDArray
    from pandas import DataFrame, Series
    from torch import Tensor, nn

    Array = NDArray[np.generic]


PreprocessingState = Mapping[str, Any]
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

    summary: ClassVar[str]
    """One sentence on what the model answers, with which the model card opens."""
    Schema: ClassVar[type[pa.DataFrameModel]]
    """A clean row, without `split`."""
    unique_key: ClassVar[tuple[str, ...]]
    """The columns that make two rows the same."""
    label_column: ClassVar[str] = ""
    """The column whose every value must stand in every split, empty if there is none."""
    higher_is_better: ClassVar[bool] = True
    """Whether the first metric of `score` is to be raised or lowered."""

    @property
    def name(self) -> str:
        """The name of its package in `tasks/use_cases`, and so of its networks' in `tasks/models`."""
        return type(self).__module__.split(".")[2]

    def schema(self, rows: DataFrame) -> pa.DataFrameSchema:
        """A clean row, without `split`, of the raw or clean rows given; by default `Rows`, whatever they are.

        A use case for tables of any make adds the columns it finds.
        """
        return self.Schema.to_schema()

    @abstractmethod
    def load(self) -> Iterator[DataFrame]:
        """Raw rows in blocks, as they come, each with `file` (str) and `row` (int): where it was found."""

    @abstractmethod
    def clean_partition(self, rows: DataFrame) -> DataFrame:
        """Every raw row with its verdict, same length and order: the columns of `schema`, mended where they could be,
        `fault` (why it must be quarantined, empty if kept) and `fix` (what was mended, empty if nothing; several are
        joined by "; ", and one that begins with "seen " only remarks on what was left as it is).
        Runs once per partition, on a Dask worker.
        """

    def duplicate_group(self, rows: DataFrame) -> Series:
        """A key that near-duplicates share (str); rows alike land in the same split. By default the exact key.

        Called once for all good rows together, without their columns of bytes.
        """
        from tasks.core.splits import row_keys

        return row_keys(rows, self.unique_key)

    def clean_table(self, rows: DataFrame) -> DataFrame:
        """What a row knows only beside others, such as the days before it: columns to add, and `fault` and `fix` as in `judge`.

        `rows` are all rows without a fault at once, in their order, repeated ones among them, columns of bytes left out;
        the result is indexed like them. By default nothing is added and nothing found.
        """
        return rows[[]].assign(fault="", fix="")

    def assign_split(self, rows: DataFrame, duplicate_group: Series) -> Series:
        """`train`, `validation` or `test` for each clean row, by default by hash of `duplicate_group`, never by row order.

        A row that only others need, as the past of a series is needed, is `context`: kept, but in no split.
        Called once for all good rows together, without their columns of bytes.
        """
        from tasks.core.splits import split_by_hash

        return split_by_hash(duplicate_group, self.clean.validation_share, self.clean.test_share)

    def augment_rows(self, rows: DataFrame, seed: int) -> DataFrame:
        """More train rows from the train rows given, materialised; by default none."""
        return rows.head(0)

    def preview_augmentation(self, rows: DataFrame, seed: int) -> DataFrame:
        """A few rows beside variants of them, for a person to look at: `original` (int) and `variant` (int, 0 = as it came)."""
        return rows.head(0)

    def batch_augmentation(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The augmentation of a batch on its device: `(inputs (B, ...), uniform random numbers (B, R)) -> inputs`, or none."""
        return None

    @abstractmethod
    def fit_preprocessing(self, rows: DataFrame) -> PreprocessingState:
        """What the model must know of the train rows before it is built."""

    @abstractmethod
    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N rows to inputs (N, ...) and targets (N, ...)."""

    @abstractmethod
    def build_model(self, state: PreprocessingState) -> nn.Module:
        """A fresh network, unfitted."""

    def initialize_weights(self, network: nn.Module, inputs: Array, targets: Array) -> None:
        """Give a fresh network what encoded train rows tell before any step; nothing unless a use case has it."""

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """A fresh smaller network to distil into; by default the same architecture, narrower."""
        raise UserError(f"{type(self).__name__.lower()} has no student network; leave 'distill' out of its recipes")

    def export_state(self, state: PreprocessingState, network: nn.Module) -> PreprocessingState:
        """Of what was learnt, what goes into the shipped file with `network`: by default all of it."""
        return state

    def sample_outputs(self, network: nn.Module, state: PreprocessingState) -> dict[str, Any]:
        """What a fitted network can show of itself, such as texts it writes; plain JSON values, kept in its report."""
        return {}

    def explain(self, rows: DataFrame, state: PreprocessingState, answer: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """What each part of these few rows was worth to the answer; `answer` gives the shipped file's outputs for inputs.

        One list per row of `{start, end, weight}`: which characters, and by how much the probability of the answer falls
        without them. By default nothing.
        """
        return [[] for _ in range(len(rows))]

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A scalar to bring down."""

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
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
    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """One prediction per row, with what a person needs to judge it."""

    @abstractmethod
    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """The measures of success, first the one that matters most."""

    @abstractmethod
    def per_row_metric(self, predictions: DataFrame) -> Array:
        """The first metric row by row (N,), such that its mean is the metric: what paired statistics resample."""

    @abstractmethod
    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """What a person reads beside the scores: confusion, per-class table, calibration; plain JSON values."""

    @abstractmethod
    def baselines(self, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
        """Predictions of the trivial and the classic rivals for `rows`, shaped like those of `decode`."""

    def compare_to_baseline(self, predictions: DataFrame, rival: DataFrame) -> dict[str, Any] | None:
        """How much better the first metric is than a rival's on the same rows: `value` (positive is better), `low` and `high`
        (95 %), `method`; plain JSON values. None, the default, takes a paired interval over rows that know nothing of each other.
        """
        return None

    def release_blockers(self, predictions: DataFrame) -> list[str]:
        """What forbids a release whatever the scores are, one line each; by default nothing."""
        return []
