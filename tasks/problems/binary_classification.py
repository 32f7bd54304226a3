"""Does the event happen? Log loss, area under the ROC curve, and a decision threshold set by the costs of errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tasks.core.problem import Problem
from tasks.metrics import binary_classification, classification
from tasks.problems.baselines import tables

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import Array, PreprocessingState
    from tasks.core.settings import Training


@dataclass(frozen=True, slots=True)
class BinaryClassification(Problem):
    """Rows have a `label`; outputs are logits (N, M), one column per ensemble member, targets 1 for the event (N,), else 0.

    The state holds `classes` (the other label, then the event), `threshold` (the probability from which the event is
    predicted, by default 0.5) and `numbers` (names of the numeric inputs, which come before the category codes).
    """

    label_column: ClassVar[str] = "label"
    answer_columns: ClassVar[tuple[str, ...]] = (*Problem.answer_columns, "threshold")

    keep: tuple[str, ...] = ("file", "row", "split", "label")
    """Columns of the rows that are copied to the predictions; `groups`, as "SEX=female; AGE=25-34", adds a fairness report."""

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """Log loss of logits (B, M) and targets (B,), averaged over members, with label smoothing."""
        from torch.nn import functional

        smooth = training.label_smoothing
        expected = (targets * (1 - smooth) + smooth / 2)[:, None].expand_as(outputs)
        return functional.binary_cross_entropy_with_logits(outputs.float(), expected)

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """Divergence of the softened logits (B, M) from the teacher's (B, 1), 0 when they are equal."""
        from torch.nn import functional

        teacher = (teacher_outputs.float().mean(1, keepdim=True) / temperature).expand_as(outputs)
        cross_entropy = functional.binary_cross_entropy_with_logits(outputs.float() / temperature, teacher.sigmoid())
        entropy = functional.binary_cross_entropy_with_logits(teacher, teacher.sigmoid())
        return (cross_entropy - entropy) * temperature**2

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """Logits (N, M) to the probability of the event, and whether it is at or above the threshold (`refused`)."""
        logits = np.asarray(outputs, np.float64).mean(1)
        return self._predictions_table(rows, 1 / (1 + np.exp(-np.clip(logits, -60, 60))), state)

    def _predictions_table(self, rows: DataFrame, probability: Any, state: PreprocessingState) -> DataFrame:
        threshold = state.get("threshold", 0.5)
        refused = probability >= threshold
        probabilities = np.stack([1 - probability, probability], 1)
        return classification.predictions_table(rows, probabilities, state["classes"], self.keep).assign(
            predicted=np.where(refused, *state["classes"][::-1]).astype(object),
            confidence=np.where(refused, probability, 1 - probability),
            target=(rows["label"] == state["classes"][1]).to_numpy(np.float64),
            probability=probability,
            threshold=threshold,
            refused=refused,
        )

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """Area under the ROC curve, KS statistic, Brier score, log loss, expected calibration error."""
        return binary_classification.metrics(predictions["target"], predictions["probability"])

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """Row values (N,) with the area under the ROC curve as mean, and its sampling variance (DeLong)."""
        return binary_classification.auc_components(predictions["target"], predictions["probability"])

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Confusion and table per class at the threshold, calibration, ROC, cost curve, and fairness by group."""
        target, probability = predictions["target"].to_numpy(), predictions["probability"].to_numpy()
        threshold = float(predictions["threshold"].iloc[0])
        groups = predictions["groups"] if "groups" in predictions else predictions["label"].str[:0]
        names = [part.partition("=")[0] for part in groups.iloc[0].split("; ") if part]
        members = {name: groups.str.extract(rf"(?:^|; ){re.escape(name)}=([^;]*)")[0] for name in names}
        return {
            **classification.report(predictions),
            "calibration": binary_classification.reliability(target, probability),
            "event": predictions["classes"].iloc[0][1],
            "threshold": threshold,
            "roc": binary_classification.roc(target, probability),
            "cost_curve": binary_classification.cost_curve(target, probability),
            "cost": binary_classification.min_cost(target, probability, 1 / threshold - 1, 1.0),
            "fairness": {
                name: binary_classification.fairness(target, probability, member, threshold) for name, member in members.items()
            },
        }

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """The base rate of the event for all rows."""
        rate = float((train["label"] == state["classes"][1]).mean())
        return {"base rate": self._predictions_table(rows, np.full(len(rows), rate), state)}

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """Logistic regression and gradient boosting."""
        return tables.event_models(*encode(train), state)
