"""The variance and the lower quantiles of the next day's return: QLIKE, pinball losses, coverage tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from tasks.core.problem import Problem
from tasks.use_cases.finance import forecast_report, risk_metrics

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.problem import Array
    from tasks.core.settings import Training
    from tasks.core.use_case import PreprocessingState

QUANTILES = {"quantile_5": 0.05, "quantile_1": 0.01}
MIN_COVERAGE_P = 0.05
"""The p-value of Kupiec's test over all series together, below which a model must not be released."""


@dataclass(frozen=True, slots=True)
class VolatilityForecasting(Problem):
    """Outputs (N, 3): log variance, 5 % and 1 % quantile; targets (N, 2): the next day's variance and return."""

    higher_is_better: ClassVar[bool] = False

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """QLIKE and the pinball losses."""
        from tasks.use_cases.finance import window_layers

        return window_layers.loss(outputs.float(), targets)

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """QLIKE against the teacher's variance, and its quantiles in volatilities, squared."""
        from tasks.use_cases.finance import window_layers

        return window_layers.distillation_loss(outputs.float(), teacher_outputs.float())

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """Outputs (N, 3) to `variance` (squared percent) and quantiles (percent), beside what came."""
        values = np.asarray(outputs, np.float64)
        return predictions_of(rows, {"variance": np.exp(values[:, 0]), "quantile_5": values[:, 1], "quantile_1": values[:, 2]})

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """QLIKE, squared error, share of the log variance explained, pinball losses, and how often quantiles were undercut."""
        came, variance, returns = (
            predictions[name].to_numpy(np.float64) for name in ("next_variance", "variance", "next_return")
        )
        error = np.log(came) - np.log(variance)
        scores = {
            "qlike": float(risk_metrics.qlike(came, variance).mean()),
            "mse": float(((came - variance) ** 2).mean()),
            "log_r2": float(1 - (error**2).mean() / max(1e-12, np.log(came).var())),
        }
        for name, level in QUANTILES.items():
            scores[f"pinball_{name[-1]}"] = float(risk_metrics.pinball(returns, predictions[name], level).mean())
            scores[f"undercut_{name[-1]}"] = float((returns < predictions[name].to_numpy()).mean())
        return scores

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """QLIKE row by row; lower is better."""
        return risk_metrics.qlike(predictions["next_variance"], predictions["variance"])

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Coverage tests, QLIKE by year and series, the account of trading by it, directions, calibration."""
        return {
            "coverage": forecast_report.coverage_tests(predictions, QUANTILES),
            **forecast_report.losses_by_group(predictions.assign(loss=self.per_row_metric(predictions))),
            "backtest": forecast_report.backtests(predictions),
            "direction": forecast_report.direction(predictions),
            "calibration": forecast_report.calibration(predictions),
        }

    def compare_to_baseline(self, predictions: DataFrame, baseline: DataFrame) -> dict[str, Any]:
        """By how much QLIKE is lower than a baseline's (Diebold and Mariano), over days: series that share a day count as one."""
        gain = pd.Series(np.subtract(self.per_row_metric(baseline), self.per_row_metric(predictions)))
        gain = gain.groupby(predictions["next_date"].to_numpy()).mean()
        found = risk_metrics.diebold_mariano(gain, np.zeros(len(gain)))
        return {
            "value": found.difference,
            "low": found.low,
            "high": found.high,
            "statistic": found.statistic,
            "p": found.p,
            "days": found.days,
            "method": f"Diebold-Mariano p {found.p:.3f} with Newey-West over {found.lags} days",
        }

    def release_blockers(self, predictions: DataFrame) -> list[str]:
        """A quantile that is undercut so often, or so seldom, that it cannot be luck (Kupiec, over all series together)."""
        return [
            f"its {found['level']:.0%} quantile is undercut on {found['share']:.2%} of {found['days']:,} days "
            f"(Kupiec p {found['kupiec_p']:.4f})"
            for found in forecast_report.coverage_tests(predictions, QUANTILES)
            if found["ticker"] == "all" and found["kupiec_p"] < MIN_COVERAGE_P
        ]


def predictions_of(rows: DataFrame, forecast: dict[str, Any]) -> DataFrame:
    """The forecast columns beside the actual ones."""
    known = ["ticker", "date", "next_date", "next_return", "next_variance"]
    return rows[known].reset_index(drop=True).assign(**forecast)
