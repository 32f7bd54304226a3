"""Metrics of predicted numbers.

`target` (N,) is the actual number and `value` (N,) the predicted one, both in the units of the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

MIN_VARIANCE = 1e-12
QUANTILE_LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NUM_BINS = 10
MAX_LISTED = 20
"""How many rows with the largest errors are listed."""


def metrics(target: Any, value: Any) -> dict[str, float]:
    """R² first, then root mean squared and mean absolute error."""
    error = np.asarray(target, np.float64) - np.asarray(value, np.float64)
    return {
        "r2": float(per_row_r2(target, value).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
    }


def per_row_r2(target: Any, value: Any) -> Floats:
    """Row values (N,) whose mean is R²: 1 minus the squared error as a multiple of the targets' variance."""
    actual = np.asarray(target, np.float64)
    values: Floats = 1 - (actual - np.asarray(value, np.float64)) ** 2 / max(MIN_VARIANCE, float(actual.var()))
    return values


def errors(predictions: DataFrame) -> dict[str, Any]:
    """Quantiles of the error (predicted minus actual), means by tenths of the predictions, and rows with the largest errors."""
    target, value = (predictions[name].to_numpy(np.float64) for name in ("target", "value"))
    error = value - target
    order = np.argsort(value, kind="stable")
    tenths = [part for part in np.array_split(order, NUM_BINS) if len(part)]
    largest = np.argsort(-np.abs(error), kind="stable")[:MAX_LISTED]
    origin = [name for name in ("file", "row") if name in predictions]
    return {
        "quantiles": [{"level": level, "error": float(np.quantile(error, level))} for level in QUANTILE_LEVELS],
        "tenths": [
            {"rows": len(part), "predicted": float(value[part].mean()), "actual": float(target[part].mean())} for part in tenths
        ],
        "largest": [
            {
                **{name: _python_value(predictions[name].iloc[row]) for name in origin},
                "predicted": float(value[row]),
                "actual": float(target[row]),
            }
            for row in largest.tolist()
        ],
    }


def _python_value(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
