"""Which of several classes? Softmax cross entropy, accuracy, and a report per class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.core.problem import Problem
from tasks.data import sampling
from tasks.metrics import classification, first_metric
from tasks.metrics.first_metric import FirstMetric
from tasks.problems.baselines import kernel_machine

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import Array, PreprocessingState
    from tasks.core.settings import Training

BASELINE_ROWS, BLOCK_ROWS = 10_000, 256
"""The most train rows that the kernel machine is fitted on, and how many are encoded at a time."""


@dataclass(frozen=True, slots=True)
class MulticlassClassification(Problem):
    """Rows have a `label`; the state's `classes` are its values, outputs are logits (N, K), targets class indices (N,)."""

    label_column: ClassVar[str] = "label"

    keep: tuple[str, ...] = ("file", "row", "split", "label")
    """Columns of the rows that are copied to the predictions."""
    first_metric: FirstMetric = "accuracy"
    """The metric that decides which epoch is kept and what is released."""
    event: str = ""
    """The class whose sensitivity is measured."""
    specificity: float = 0.9
    """The specificity at which it is measured."""

    def of_state(self, state: PreprocessingState) -> MulticlassClassification:
        """The same problem with the first metric that the state names; without one, accuracy."""
        return replace(self, **state["first_metric"]) if "first_metric" in state else self

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """Cross entropy of logits (B, K), or (B, M, K) of M ensemble members, and class indices (B,), with label smoothing."""
        from torch.nn import functional

        if outputs.ndim == 3:
            targets = targets.repeat_interleave(outputs.shape[1])
            outputs = outputs.flatten(0, 1)
        return functional.cross_entropy(outputs.float(), targets, label_smoothing=training.label_smoothing)

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """Divergence from the teacher's softened logits (B, K), for each of the student's members."""
        if outputs.ndim == 3:
            teacher_outputs = teacher_outputs[:, None].expand_as(outputs)
        return Problem.distillation_loss(self, outputs, teacher_outputs, targets, temperature)

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """Logits (N, K) as predicted class, its confidence and all probabilities."""
        return classification.predictions_table(rows, classification.softmax(outputs), state["classes"], self.keep)

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """The first metric, accuracy, F1 averaged over classes (plain and weighted), log loss, expected calibration error."""
        if self.first_metric == "accuracy":
            return classification.metrics(predictions)
        return {self.first_metric: float(self.per_row_metric(predictions).mean()), **classification.metrics(predictions)}

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """Row values whose mean is the first metric; for accuracy 1 where the prediction is right, else 0."""
        return first_metric.row_values(predictions, self.first_metric, self.event, self.specificity)

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Confusion, precision, recall and F1 per class with averages, calibration, areas under ROC and precision-recall."""
        return classification.report(predictions)

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """The majority class for all rows."""
        probabilities = classification.majority_baseline(train["label"], len(rows), state["classes"])
        return {"majority": classification.predictions_table(rows, probabilities, state["classes"], self.keep)}

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """A kernel machine on the encoded inputs of up to 10,000 train rows."""
        (sample,) = sampling.evenly_spaced_rows([len(train)], BASELINE_ROWS)
        starts = range(0, len(sample), BLOCK_ROWS)
        blocks = (encode(train.iloc[sample[at : at + BLOCK_ROWS]].reset_index(drop=True)) for at in starts)
        return {"kernel machine": kernel_machine.exported_from_blocks(blocks, len(sample), state)}
