"""How far predicted numbers are from actual ones.

`target` (N,) is the actual number and `value` (N,) the predicted one, both in the units of the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

TINY = 1e-12
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TENTHS = 10
LARGEST = 20
"""So many rows with the largest errors are listed."""


def metrics(target: Any, value: Any) -> dict[str, float]:
    """R² first, then root mean squared and mean absolute error."""
    error = np.asarray(target, np.float64) - np.asarray(value, np.float64)
    return {
        "r2": float(per_row_r2(target, value).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
    }


def per_row_r2(target: Any, value: Any) -> Floats:
    """1 minus each squared error as a multiple of the variance of the targets, (N,); the mean is R²."""
    actual = np.asarray(target, np.float64)
    values: Floats = 1 - (actual - np.asarray(value, np.float64)) ** 2 / max(TINY, float(actual.var()))
    return values


def errors(predictions: DataFrame) -> dict[str, Any]:
    """Quantiles of the error (predicted minus actual), means by tenths of the predictions, and rows with the largest errors."""
    target, value = (predictions[name].to_numpy(np.float64) for name in ("target", "value"))
    error = value - target
    order = np.argsort(value, kind="stable")
    tenths = [part for part in np.array_split(order, TENTHS) if len(part)]
    worst = np.argsort(-np.abs(error), kind="stable")[:LARGEST]
    origin = [name for name in ("file", "row") if name in predictions]
    return {
        "quantiles": [{"level": level, "error": float(np.quantile(error, level))} for level in LEVELS],
        "tenths": [
            {"rows": len(part), "predicted": float(value[part].mean()), "actual": float(target[part].mean())} for part in tenths
        ],
        "largest": [
            {
                **{name: _plain(predictions[name].iloc[place]) for name in origin},
                "predicted": float(value[place]),
                "actual": float(target[place]),
            }
            for place in worst.tolist()
        ],
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
