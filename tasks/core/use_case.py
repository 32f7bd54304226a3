"""The interface of a use case."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tasks.core.errors import UserError
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.settings import Augment, Clean, Contract, Fetch, Model, PretrainedModel, PretrainedTeacher, Training, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import pandera.pandas as pa
    from numpy.typing import NDArray
    from pandas import DataFrame, Series
    from torch import Tensor, nn

    from tasks.core.exported_baseline import ExportedBaseline

    Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Corruption:
    """A change of the rows that leaves their labels right, such as noise; `evaluate` measures every model under it.

    The result of `apply` keeps the index of the rows and their order. A subset of the rows, such as the days of one regime, is
    a corruption that leaves out the others. The generator is seeded, so equal rows give equal results.
    """

    name: str
    apply: Callable[[DataFrame, np.random.Generator], DataFrame]
    severity: int = 1
    """1 is mild, 2 strong."""


@dataclass(frozen=True, slots=True)
class InputRange:
    """The lowest and highest usual value of real-valued inputs: one for all elements, or arrays that fit one row's inputs.

    An adversarial example moves an element by a share of its range. One whose ends are equal, such as a code, is never moved.
    """

    low: float | Array
    high: float | Array


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Settings by dotted name that suit the user's own data, and why; without settings the reason says what else would help."""

    settings: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@settings
class UseCase(ABC):
    """Data and model of one use case; its `problem` has the loss and the metrics.

    Rows are tables until `encode`, and predictions are tables again after `Problem.decode`; arrays and tensors exist only
    between the two. The settings below are the sections of the use case's stanza in params.yaml; a use case narrows their types.
    The module must import without torch: networks are imported inside the methods that need them.
    """

    fetch: Fetch = Field(default_factory=Fetch)
    clean: Clean = Field(default_factory=Clean)
    augment: Augment = Field(default_factory=Augment)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    contract: Contract = Field(default_factory=Contract)

    summary: ClassVar[str]
    """One sentence on what the model predicts; the model card opens with it."""
    problem: ClassVar[Problem]
    """The kind of problem: loss, decoding, metrics, report."""
    Schema: ClassVar[type[pa.DataFrameModel]]
    """A clean row, without `split`."""
    usage: ClassVar[str] = ""
    """A few lines of Python that run the released file on raw data, for the model card; empty for none."""
    unique_key: ClassVar[tuple[str, ...]]
    """Rows that are equal in these columns are exact duplicates."""

    @property
    def name(self) -> str:
        """The name of the use case's package in `tasks/use_cases`, and of the package of its networks in `tasks/models`."""
        return type(self).__module__.split(".")[2]

    def problem_of(self, state: PreprocessingState) -> Problem:
        """The problem of the rows that `state` was fitted on; differs from `problem` only if the data decide it."""
        return self.problem

    def label_column(self, rows: DataFrame) -> str:
        """The column with the class, every value of which must be in every split; empty for none. By default the problem's."""
        return self.problem.label_column

    def target_column(self, rows: DataFrame) -> str:
        """The column in which two equal rows may contradict each other; by default that of the label."""
        return self.label_column(rows)

    def schema(self, rows: DataFrame) -> pa.DataFrameSchema:
        """The schema of clean rows, without `split`, for these raw or clean rows; by default `Schema`.

        A use case for tables of any columns adds those that the rows have.
        """
        return self.Schema.to_schema()

    def suggested_settings(self) -> Suggestion:
        """Settings that suit the user's own data, for what the user left open; by default none.

        Called with the settings that the user chose. It may read a few raw rows, but installs and downloads nothing.
        """
        return Suggestion()

    @abstractmethod
    def load(self) -> Iterator[DataFrame]:
        """Yield the raw rows in blocks. `file` (str) and `row` (int) say where a row comes from."""

    def load_unlabelled(self, path: Path, state: PreprocessingState) -> Iterator[DataFrame]:
        """Yield the raw rows of a file or folder to predict with a model of this state, in blocks like those of `load`.

        Rows need no label: where a column of the label belongs to a raw row it holds one that the model knows, and no
        prediction depends on it. By default the file is read as `load` reads the user's own.
        """
        fetch = replace(self.fetch, source="path", dataset="", path=str(path), fingerprint="", limit=0)
        return replace(self, fetch=fetch).load()

    def unlabelled_rows(self, inputs: Sequence[Any], state: PreprocessingState) -> DataFrame:
        """Raw rows of N inputs to predict, as `load_unlabelled` gives; `row` is the position, from 1.

        By default each input is a record: a mapping from the names of columns to values. They are read as JSON Lines.
        """
        import json
        import tempfile
        from pathlib import Path

        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.jsonl"
            path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in inputs), encoding="utf-8")
            try:
                return pd.concat(list(self.load_unlabelled(path, state)), ignore_index=True).assign(file="")
            except UserError as error:
                raise UserError(str(error).replace(str(path), "the records")) from None

    def answer_table(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """What a model says of N rows, without their labels: by default the problem's `answer_columns` of its predictions."""
        problem = self.problem_of(state)
        predictions = problem.decode(rows, outputs, state).reset_index(drop=True)
        return predictions[[name for name in problem.answer_columns if name in predictions]]

    def load_teaching_rows(self) -> Iterator[DataFrame]:
        """Yield raw rows without a label, with the columns of `load`, which only teach a student; by default none.

        `clean_partition` gets them with True in the column `unlabelled`, and writes `splits.UNLABELLED` as their label. They are
        never in a split: the stage clean assigns none to them, and drops those that look like a labelled row.
        """
        return iter(())

    def check_head(self) -> None:  # noqa: B027
        """Raise a `UserError` for what the names and first rows of the user's own data show to be wrong; reads little.

        `bonsai plan` and `bonsai run` call it before any stage runs. By default nothing is checked.
        """

    @abstractmethod
    def clean_partition(self, rows: DataFrame) -> DataFrame:
        """Validate and repair the raw rows of one partition; called on a Dask worker.

        Returns as many rows in the same order: the columns of `schema`, `fault` (the error for which the row is quarantined,
        empty if it is kept) and `fix` (the repairs, joined by "; ", empty if none; one that begins with "seen " is a remark
        on a value that was left as it is).
        """

    def duplicate_group(self, rows: DataFrame) -> Series:
        """A key (str) that near-duplicates share, by default the key of exact duplicates. Equal keys get the same split.

        Called once for all valid rows, without their columns of bytes.
        """
        from tasks.core.splits import row_keys

        return row_keys(rows, self.unique_key)

    def clean_table(self, rows: DataFrame) -> DataFrame:
        """Columns that need other rows, such as the previous days, and `fault` and `fix` as in `clean_partition`.

        `rows` are all valid rows in their order, including duplicates, without their columns of bytes. The result has the
        same index. By default no column is added and no row is invalid.
        """
        return rows[[]].assign(fault="", fix="")

    def assign_split(self, rows: DataFrame, duplicate_group: Series) -> Series:
        """`train`, `validation` or `test` for each clean row, by default by hash of `duplicate_group`, never by row order.

        A row that is only input for others, such as the past of a series, is `context`: kept, but in no split.
        Called once for all valid rows, without their columns of bytes.
        """
        from tasks.core.splits import split_by_hash

        return split_by_hash(duplicate_group, self.clean.validation_share, self.clean.test_share)

    def findings(self, rows: DataFrame) -> list[str]:
        """Sentences on all clean rows, such as a column that tells the label; by default none.

        The stage clean says and records them. `rows` are without their columns of bytes.
        """
        return []

    def augment_rows(self, rows: DataFrame, seed: int) -> DataFrame:
        """Additional train rows made from these train rows, stored by the stage augment; by default none."""
        return rows.head(0)

    def preview_augmentation(self, rows: DataFrame, seed: int) -> DataFrame:
        """A few rows and their augmented variants, for the dashboard: `original` (int) and `variant` (int, 0 = the original)."""
        return rows.head(0)

    def batch_augmentation(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The augmentation of a batch on its device: `(inputs (B, ...), uniform random numbers (B, R)) -> inputs`, or none."""
        return None

    def fit_preprocessing(self, rows: DataFrame) -> PreprocessingState:
        """Fit on the train rows what `encode` and `build_model` need; by default the sorted class names."""
        return {"classes": sorted(set(rows["label"]))}

    @abstractmethod
    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as inputs (N, ...) and targets (N, ...)."""

    @abstractmethod
    def build_model(self, state: PreprocessingState) -> nn.Module:
        """A new network, untrained."""

    def own_network(self, state: PreprocessingState) -> dict[str, Any]:
        """What a network of a person's own reads and is told; by default raises `UserError`.

        `inputs` (pictures, tokens, table or windows), `keywords` for its function, `outputs` (their number), and where inputs
        are scaled `mean` and `std`: fields of `tasks.core.networks.own_network.OwnNetwork`.
        """
        raise UserError(f"{type(self).__name__.lower()} takes no network of your own; leave model.file empty")

    def new_network(self, state: PreprocessingState, inputs: Array) -> nn.Module:
        """A new network: that of `model.file`, checked with the first encoded inputs (N, ...), or the one of `build_model`."""
        from tasks.core.networks.own_files import network_from_file

        if not self.model.file:
            return self.build_model(state)
        return network_from_file(self.model, self.own_network(state), inputs)

    def initialize_weights(self, network: nn.Module, inputs: Array, targets: Array) -> None:  # noqa: B027
        """Set weights of a new network from encoded train rows before training; by default nothing."""

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """A new smaller network to distill into, with `width_share` of the units; by default raises `UserError`."""
        raise UserError(f"{type(self).__name__.lower()} has no student network; leave 'distill' out of its recipes")

    def build_teacher(self, state: PreprocessingState, settings: PretrainedTeacher) -> tuple[nn.Module, PreprocessingState]:
        """A pretrained network with a new head for the classes of `state`, and the state that `encode` needs to make its inputs.

        Distillation fits it to the labelled train rows first, by `tasks.training.transfer`. By default raises `UserError`.
        """
        raise UserError(
            f"{type(self).__name__.lower()} has no pretrained network; take teacher: dense in 'distill' of its recipes"
        )

    def start_student(self, student: nn.Module, teacher: nn.Module) -> bool:
        """Set weights of a new student from its teacher before distillation; by default nothing.

        Returns whether the first `layers()` of both are equal now, so that only the student's last blocks need be fitted.
        """
        return False

    def suited_training(self) -> Training:
        """The settings of training for data of the user's own, for which no setting was tuned; by default those given."""
        return self.training

    def transfer_learning(self) -> PretrainedModel | None:
        """How a pretrained network is fitted; by default None: the network is trained from its first weights."""
        return None

    def export_state(self, state: PreprocessingState, network: nn.Module) -> PreprocessingState:
        """The part of the state that is stored in the exported model of `network`; by default all of it."""
        return state

    def sample_outputs(self, network: nn.Module, state: PreprocessingState) -> dict[str, Any]:
        """Samples that a trained network generates, such as texts: plain JSON values, stored in its report; by default none."""
        return {}

    def release_files(self, model: bytes, state: PreprocessingState) -> dict[str, bytes]:
        """Further files of a release, by name, made from the released ONNX file, such as one for raw inputs; by default none."""
        return {}

    def explain(self, rows: DataFrame, state: PreprocessingState, run: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """The weight of each part of these few rows for the prediction; `run` maps inputs to the exported model's outputs.

        One list per row of `{start, end, weight}`: a range of characters, and by how much the probability of the predicted
        class falls without it. By default the lists are empty.
        """
        return [[] for _ in range(len(rows))]

    def corruptions(self) -> tuple[Corruption, ...]:
        """The changes of the rows under which every model is measured, such as noise or typing errors; by default none."""
        return ()

    def slice_columns(self, rows: DataFrame) -> DataFrame:
        """Columns by which rows are grouped to find where a compressed model is worse than dense; by default the label.

        The result has as many rows in the same order. Each text is a group of its own, numbers are cut into ranges.
        """
        label = self.label_column(rows)
        return rows[[label]] if label else rows[[]]

    def input_notes(self, inputs: Array, state: PreprocessingState) -> list[str]:
        """Sentences on the encoded train rows for the model card, such as the share of texts that are cut; by default none."""
        return []

    def input_range(self, state: PreprocessingState) -> InputRange | None:
        """The range of the inputs of `encode`, for adversarial examples; by default None: the inputs are no real values."""
        return None

    def baselines(self, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
        """Predictions for `rows` of models fitted on `train` that are not exported, by name; by default those of the problem."""
        state = self.fit_preprocessing(train)
        return self.problem_of(state).baselines(train, rows, lambda table: self.encode(table, state), state)

    def exported_baselines(self, train: DataFrame) -> dict[str, ExportedBaseline]:
        """Classic models fitted on `train`, by name, as ONNX files; by default those of the problem."""
        if type(self.problem).exported_baselines is Problem.exported_baselines:
            return {}
        state = self.fit_preprocessing(train)
        return self.problem_of(state).exported_baselines(train, lambda table: self.encode(table, state), state)
