"""Multi-class classification of tables, with logistic regression and gradient boosting as baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.metrics import classification, tabular_baselines
from tasks.problems.multiclass_classification import MulticlassClassification

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.problem import Array, PreprocessingState


@dataclass(frozen=True, slots=True)
class TableClassification(MulticlassClassification):
    """Multi-class classification of rows whose inputs are numbers and category codes."""

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """The majority class for all rows, logistic regression and gradient boosting."""
        (inputs, targets), (queries, _), classes = encode(train), encode(rows), state["classes"]
        numbers = len(state["numbers"])
        predicted = {
            "majority": classification.majority_baseline(train["label"], len(rows), classes),
            "logistic regression": tabular_baselines.logistic_regression(inputs, targets, queries, numbers),
            "gradient boosting": tabular_baselines.boosted_classifier(inputs, targets, queries, numbers),
        }
        return {
            name: classification.predictions_table(rows, probabilities, classes, self.keep)
            for name, probabilities in predicted.items()
        }
