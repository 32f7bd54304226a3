"""The interface of a use case."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.settings import Augment, Clean, Contract, Fetch, Model, Training, settings

if TYPE_CHECKING:
    import numpy as np
    import pandera.pandas as pa
    from numpy.typing import NDArray
    from pandas import DataFrame, Series
    from torch import Tensor, nn

    Array = NDArray[np.generic]


PreprocessingState = Mapping[str, Any]
"""What a use case learnt from train rows (scale, vocabulary, class names): plain JSON values, kept in the checkpoint."""


@settings
class UseCase(ABC):
    """The data and the model of one problem that is worth a small model.

    Rows stay a table until `encode` and become a table again in `Problem.decode`; only between the two are there arrays and
    tensors. The settings below are the sections of the use case's stanza in params.yaml; a use case narrows their types.
    The module must import without torch: networks are imported inside the methods that need them.
    """

    fetch: Fetch = Field(default_factory=Fetch)
    clean: Clean = Field(default_factory=Clean)
    augment: Augment = Field(default_factory=Augment)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    contract: Contract = Field(default_factory=Contract)

    summary: ClassVar[str]
    """One sentence on what the model answers, with which the model card opens."""
    problem: ClassVar[Problem]
    """What is asked: loss, decoding, metrics, report."""
    Schema: ClassVar[type[pa.DataFrameModel]]
    """A clean row, without `split`."""
    unique_key: ClassVar[tuple[str, ...]]
    """The columns that make two rows the same."""

    @property
    def name(self) -> str:
        """The name of its package in `tasks/use_cases`, and so of its networks' in `tasks/models`."""
        return type(self).__module__.split(".")[2]

    def problem_of(self, state: PreprocessingState) -> Problem:
        """The problem of the rows that `state` was fitted on; another than `problem` only where the data decide it."""
        return self.problem

    def label_column(self, rows: DataFrame) -> str:
        """The column whose every value must be in every split, empty where there are no classes; by default the problem's."""
        return self.problem.label_column

    def schema(self, rows: DataFrame) -> pa.DataFrameSchema:
        """A clean row, without `split`, of the raw or clean rows given; by default `Schema`.

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
        """Columns that need other rows, such as the days before, and `fault` and `fix` as in `clean_partition`.

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

    def fit_preprocessing(self, rows: DataFrame) -> PreprocessingState:
        """What the model must know of the train rows before it is built; by default the class names, sorted."""
        return {"classes": sorted(set(rows["label"]))}

    @abstractmethod
    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N rows to inputs (N, ...) and targets (N, ...)."""

    @abstractmethod
    def build_model(self, state: PreprocessingState) -> nn.Module:
        """A fresh network, unfitted."""

    def initialize_weights(self, network: nn.Module, inputs: Array, targets: Array) -> None:  # noqa: B027
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

    def baselines(self, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
        """Predictions for `rows` of trivial and classic models fitted on `train`; by default those of the problem."""
        state = self.fit_preprocessing(train)
        return self.problem_of(state).baselines(train, rows, lambda some: self.encode(some, state), state)
