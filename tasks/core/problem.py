"""The interface of a problem: its loss, the decoding of outputs, and its metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.settings import Training

    Array = NDArray[np.generic]


PreprocessingState = Mapping[str, Any]
"""What `fit_preprocessing` of a use case returns (scale, vocabulary, class names): plain JSON values, in the checkpoint."""


class Problem(ABC):
    """Loss, decoding, metrics and report of a kind of problem; ready ones are in `tasks/problems`.

    A problem depends neither on the source of the rows nor on the network. Predictions are tables with one row per row.
    The module of a problem must import without torch: losses import it inside the methods.
    """

    higher_is_better: ClassVar[bool] = True
    """Whether a higher value of the first of `metrics` is better."""
    label_column: ClassVar[str] = ""
    """The column with the class, every value of which must be in every split; empty if there are no classes."""

    answer_columns: ClassVar[tuple[str, ...]] = ("predicted", "confidence", "classes", "probabilities")
    """The columns of `decode` that hold what the model says, and neither the row's label nor its features."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """The scalar that training minimizes, of outputs (B, ...) and targets (B, ...)."""

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """The scalar that distillation minimizes besides `loss`: the distance of the outputs from the teacher's.

        By default, for class targets: the Kullback-Leibler divergence of the softened distributions over the last dimension
        (Hinton et al. 2015, arXiv 1503.02531); for real targets: the mean squared difference.
        """
        from torch.nn import functional

        if targets.is_floating_point():
            return functional.mse_loss(outputs, teacher_outputs)
        student = functional.log_softmax(outputs.float() / temperature, dim=-1)
        teacher = functional.log_softmax(teacher_outputs.float() / temperature, dim=-1)
        rows = student.numel() / student.shape[-1]
        return functional.kl_div(student, teacher, reduction="sum", log_target=True) * (temperature**2 / rows)

    @abstractmethod
    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """One prediction per row, with the columns that its report needs."""

    @abstractmethod
    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """The metrics by name; the first one decides."""

    @abstractmethod
    def per_row_metric(self, predictions: DataFrame) -> Array:
        """Row values (N,) whose mean is the first metric; paired statistics resample them."""

    @abstractmethod
    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Details for people, such as confusion, a table per class and calibration; plain JSON values."""

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """Predictions for `rows` of models fitted on `train`, by name, as tables like those of `decode`: trivial models, and
        classic ones that `exported_baselines` does not return.

        `encode` returns inputs and targets of rows. By default there are none; a use case may add its own.
        """
        return {}

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """Classic models fitted on `train`, by name, as ONNX files that compete with the networks; by default none.

        Their outputs are those that `decode` reads. `encode` returns inputs and targets of rows with this `state`.
        """
        return {}

    def compare_to_baseline(self, predictions: DataFrame, baseline: DataFrame) -> dict[str, Any] | None:
        """The gain in the first metric over a baseline on the same rows: `value` (positive is better), `low` and `high` (95 %
        confidence interval) and `method`; plain JSON values. By default None: rows count as independent.
        """
        return None

    def times(self, predictions: DataFrame) -> Array | None:
        """The points in time (N,) of rows that are correlated over time; by default None, since rows are independent."""
        return None

    def release_blockers(self, predictions: DataFrame) -> list[str]:
        """Reasons that forbid a release whatever the metrics are, one line each; by default none."""
        return []
