"""How far predicted numbers are from actual ones, and the classic models that predict them.

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
MOST_TREE_VALUES = 255
"""Values of a category that gradient boosting tells apart."""


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


def ridge(inputs: Any, targets: Any, asked: Any, numbers: int) -> Floats:
    """Ridge regression on standardized numbers, a missing one at the median, and one weight for each category's value."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(range(numbers))),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(range(numbers, inputs.shape[1]))),
        ]
    )
    values: Floats = make_pipeline(columns, Ridge()).fit(inputs, targets).predict(asked)
    return values


def gradient_boosting(inputs: Any, targets: Any, asked: Any, numbers: int) -> Floats:
    """150 small trees; of more than 10,000 rows a tenth decides when to stop."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    few = [place for place in range(numbers, inputs.shape[1]) if inputs[:, place].max() < MOST_TREE_VALUES]
    trees = HistGradientBoostingRegressor(
        learning_rate=0.06, max_iter=150, max_leaf_nodes=15, l2_regularization=1.0, categorical_features=few, random_state=0
    )
    values: Floats = trees.fit(inputs, targets).predict(asked)
    return values


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
