"""The interface of a problem: what is asked of a model, how its outputs are read, and how good they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.settings import Training
    from tasks.core.use_case import PreprocessingState

    Array = NDArray[np.generic]


class Problem(ABC):
    """Loss, decoding, metrics and report of a kind of problem; ready ones are in `tasks/problems`.

    A problem knows neither where rows come from nor which network answers. Predictions are tables, one row each.
    The module of a problem must import without torch: losses import it inside the methods.
    """

    higher_is_better: ClassVar[bool] = True
    """Whether the first of `metrics` is to be raised or lowered."""
    label_column: ClassVar[str] = ""
    """The column whose every value must be in every split, empty where there are no classes."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """The scalar that training minimizes, of outputs (B, ...) and targets (B, ...)."""

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """The scalar that is minimized when `outputs` are to be like a teacher's.

        By default, for class targets: the divergence of the softened distributions over the last dimension (Hinton et al.
        2015, arXiv 1503.02531); for real targets: the mean squared difference.
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
        """One prediction per row, with what a person needs to judge it."""

    @abstractmethod
    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """The metrics, first the one that matters most."""

    @abstractmethod
    def per_row_metric(self, predictions: DataFrame) -> Array:
        """The first metric row by row (N,), such that its mean is the metric: what paired statistics resample."""

    @abstractmethod
    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """What a person reads beside the metrics: confusion, per-class table, calibration; plain JSON values."""

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """Predictions for `rows` of a trivial and of classic models fitted on `train`, shaped like those of `decode`.

        `encode` gives inputs and targets of rows. By default there are none; a use case may have its own.
        """
        return {}

    def compare_to_baseline(self, predictions: DataFrame, baseline: DataFrame) -> dict[str, Any] | None:
        """How much better the first metric is than a baseline's on the same rows: `value` (positive is better), `low` and
        `high` (95 %), `method`; plain JSON values. None, the default, takes a paired interval over independent rows.
        """
        return None

    def release_blockers(self, predictions: DataFrame) -> list[str]:
        """What forbids a release whatever the metrics are, one line each; by default nothing."""
        return []
