"""Baselines for tables of numbers and category codes: linear models and gradient boosting of scikit-learn.

`inputs` (N, F + C) are the train rows, the first `numbers` columns numbers (NaN where missing), the others category codes;
`queries` (M, F + C) are the rows to predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_TREE_CATEGORIES = 255
"""The most values of a categorical column that gradient boosting supports."""
TREES: dict[str, Any] = {
    "learning_rate": 0.06,
    "max_iter": 150,
    "max_leaf_nodes": 15,
    "l2_regularization": 1.0,
    "random_state": 0,
}


def logistic_regression(inputs: Any, targets: Any, queries: Any, numbers: int) -> Floats:
    """Probabilities (M, K) by logistic regression on standardized numbers (missing ones imputed by the median) and one-hot
    categories."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(_columns(inputs.shape[1], numbers), LogisticRegression(max_iter=2000)).fit(inputs, targets)
    probabilities: Floats = model.predict_proba(queries)
    return probabilities


def boosted_classifier(inputs: Any, targets: Any, queries: Any, numbers: int) -> Floats:
    """Probabilities (M, K) by 150 small trees; above 10,000 rows a tenth is held out for early stopping."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(**TREES, categorical_features=_few_valued(inputs, numbers))
    probabilities: Floats = trees.fit(inputs, targets).predict_proba(queries)
    return probabilities


def ridge_regression(inputs: Any, targets: Any, queries: Any, numbers: int) -> Floats:
    """Values (M,) by ridge regression on the same columns as `logistic_regression`."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    values: Floats = make_pipeline(_columns(inputs.shape[1], numbers), Ridge()).fit(inputs, targets).predict(queries)
    return values


def boosted_regressor(inputs: Any, targets: Any, queries: Any, numbers: int) -> Floats:
    """Values (M,) by 150 small trees; above 10,000 rows a tenth is held out for early stopping."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(**TREES, categorical_features=_few_valued(inputs, numbers))
    values: Floats = trees.fit(inputs, targets).predict(queries)
    return values


def _columns(width: int, numbers: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(range(numbers))),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(range(numbers, width))),
        ]
    )


def _few_valued(inputs: Any, numbers: int) -> list[int]:
    """The categorical columns with few enough values for gradient boosting."""
    return [place for place in range(numbers, inputs.shape[1]) if inputs[:, place].max() < MAX_TREE_CATEGORIES]
