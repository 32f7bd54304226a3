"""How much? Squared error on a standardized target, R², and a report of the errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tasks.core.problem import Problem
from tasks.metrics import regression
from tasks.problems.baselines import tables

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import Array, PreprocessingState
    from tasks.core.settings import Training


@dataclass(frozen=True, slots=True)
class Regression(Problem):
    """Rows have a number, or the text of one, in `label`; outputs are (N, M), one column per ensemble member.

    `encode` gives targets (N,) standardized by the `mean` and `std` that the state holds. `numbers` in the state are the
    names of the numeric inputs, which come before the category codes.
    """

    answer_columns: ClassVar[tuple[str, ...]] = ("value",)

    keep: tuple[str, ...] = ("file", "row", "split", "label")
    """Columns of the rows that are copied to the predictions."""

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """Mean squared error of outputs (B, M) and standardized targets (B,), averaged over members."""
        return ((outputs.float() - targets[:, None]) ** 2).mean()

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """Mean squared difference of the outputs (B, M) from the teacher's mean."""
        return ((outputs.float() - teacher_outputs.float().mean(1, keepdim=True)) ** 2).mean()

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """Outputs (N, M) as `value` and the label as `target`, both in the units of the label."""
        return self._predictions_table(rows, np.asarray(outputs, np.float64).mean(1) * state["std"] + state["mean"])

    def _predictions_table(self, rows: DataFrame, value: Any) -> DataFrame:
        kept = rows[[name for name in self.keep if name in rows]]
        return kept.assign(target=rows["label"].astype(np.float64), value=value)

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """R², root mean squared error and mean absolute error, the latter two in units of the label."""
        return regression.metrics(predictions["target"], predictions["value"])

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """Row values (N,) whose mean is R²: 1 minus the squared error as a multiple of the target's variance."""
        return regression.per_row_r2(predictions["target"], predictions["value"])

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Errors: their quantiles, predicted and actual means by tenths of the predictions, and the largest ones."""
        return {"errors": regression.errors(predictions)}

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """The mean of the train rows for all rows."""
        return {"mean": self._predictions_table(rows, np.full(len(rows), float(train["label"].astype(np.float64).mean())))}

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """Ridge regression and gradient boosting."""
        return tables.number_models(*encode(train), state)
