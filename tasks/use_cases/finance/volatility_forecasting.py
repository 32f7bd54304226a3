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

    from tasks.core.problem import Array, PreprocessingState
    from tasks.core.settings import Training

QUANTILES = {"quantile_5": 0.05, "quantile_1": 0.01}
MIN_COVERAGE_P = 0.05
"""A model with a lower p-value of Kupiec's test over all series together must not be released."""


@dataclass(frozen=True, slots=True)
class VolatilityForecasting(Problem):
    """Outputs (N, 3): log variance, 5 % and 1 % quantile; targets (N, 2): the next day's variance and return."""

    higher_is_better: ClassVar[bool] = False
    answer_columns: ClassVar[tuple[str, ...]] = ("ticker", "date", "variance", "quantile_5", "quantile_1")

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """QLIKE of the variance plus the pinball losses of the quantiles."""
        from tasks.use_cases.finance import window_layers

        return window_layers.loss(outputs.float(), targets)

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """QLIKE against the teacher's variance plus the squared distance of the quantiles in volatilities."""
        from tasks.use_cases.finance import window_layers

        return window_layers.distillation_loss(outputs.float(), teacher_outputs.float())

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """Outputs (N, 3) as `variance` (squared percent) and quantiles (percent), with the actual values."""
        values = np.asarray(outputs, np.float64)
        return predictions_table(rows, {"variance": np.exp(values[:, 0]), "quantile_5": values[:, 1], "quantile_1": values[:, 2]})

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """QLIKE, mean squared error, R² of the log variance, pinball losses, and breach rates of the quantiles."""
        actual, variance, returns = (
            predictions[name].to_numpy(np.float64) for name in ("next_variance", "variance", "next_return")
        )
        error = np.log(actual) - np.log(variance)
        scores = {
            "qlike": float(risk_metrics.qlike(actual, variance).mean()),
            "mse": float(((actual - variance) ** 2).mean()),
            "log_r2": float(1 - (error**2).mean() / max(1e-12, np.log(actual).var())),
        }
        for name, level in QUANTILES.items():
            scores[f"pinball_{name[-1]}"] = float(risk_metrics.pinball(returns, predictions[name], level).mean())
            scores[f"undercut_{name[-1]}"] = float((returns < predictions[name].to_numpy()).mean())
        return scores

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """QLIKE of each row (N,); lower is better."""
        return risk_metrics.qlike(predictions["next_variance"], predictions["variance"])

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Coverage tests, QLIKE by year and series, backtest, direction and calibration."""
        return {
            "coverage": forecast_report.coverage_tests(predictions, QUANTILES),
            **forecast_report.losses_by_group(predictions.assign(loss=self.per_row_metric(predictions))),
            "backtest": forecast_report.backtests(predictions),
            "direction": forecast_report.direction(predictions),
            "calibration": forecast_report.calibration(predictions),
        }

    def compare_to_baseline(self, predictions: DataFrame, baseline: DataFrame) -> dict[str, Any]:
        """The reduction of QLIKE over a baseline: a Diebold-Mariano test on daily means, as series of a day are correlated."""
        gain = pd.Series(np.subtract(self.per_row_metric(baseline), self.per_row_metric(predictions)))
        gain = gain.groupby(predictions["next_date"].to_numpy()).mean()
        test = risk_metrics.diebold_mariano(gain, np.zeros(len(gain)))
        return {
            "value": test.difference,
            "low": test.low,
            "high": test.high,
            "statistic": test.statistic,
            "p": test.p,
            "days": test.days,
            "method": f"Diebold-Mariano p {test.p:.3f} with Newey-West over {test.lags} days",
        }

    def times(self, predictions: DataFrame) -> Array:
        """The next day of each row (N,): series share days, and volatility clusters."""
        return np.asarray(predictions["next_date"])

    def release_blockers(self, predictions: DataFrame) -> list[str]:
        """A quantile whose breach rate differs significantly from its level, by Kupiec's test over all series together."""
        return [
            f"its {test['level']:.0%} quantile is undercut on {test['share']:.2%} of {test['days']:,} days "
            f"(Kupiec p {test['kupiec_p']:.4f})"
            for test in forecast_report.coverage_tests(predictions, QUANTILES)
            if test["ticker"] == "all" and test["kupiec_p"] < MIN_COVERAGE_P
        ]


def predictions_table(rows: DataFrame, forecast: dict[str, Any]) -> DataFrame:
    """The rows' series, dates and targets, with the columns of the forecast."""
    columns = ["ticker", "date", "next_date", "next_return", "next_variance"]
    return rows[columns].reset_index(drop=True).assign(**forecast)
