"""Multi-class classification of tables, with logistic regression and gradient boosting as baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.problems.baselines import tables
from tasks.problems.multiclass_classification import MulticlassClassification

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import Array, PreprocessingState


@dataclass(frozen=True, slots=True)
class TableClassification(MulticlassClassification):
    """Multi-class classification of rows whose inputs are numbers and category codes."""

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """Logistic regression and gradient boosting."""
        return tables.class_models(*encode(train), state)
