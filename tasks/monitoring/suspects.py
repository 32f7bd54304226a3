"""Which labels are probably wrong? Every row is judged by a classic model that was fitted without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import UserError
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

FOLDS = 5
MAX_ROWS = 60_000
COMPONENTS = 60
"""Principal components that describe a picture."""


def suspected_labels(case: UseCase, rows: DataFrame, seed: int = 7) -> DataFrame:
    """All rows whose label another class beats, the most suspected first: file, row, split, label, suggested, margin.

    `margin` is the probability of the label minus that of the likeliest class, by a classic model of the inputs fitted on the
    other four fifths of the rows (normalized margin; Northcutt, Jiang and Chuang, "Confident learning", JAIR 2021). Raises a
    `UserError` for rows without classes.
    """
    label = case.label_column(rows)
    if not label:
        raise UserError(f"{case.name} has no classes, so no label can be suspected")
    chosen = rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=seed)
    names, codes = np.unique(chosen[label].astype(str), return_inverse=True)
    probabilities = _out_of_fold(case, chosen, codes, len(names), seed)
    own = probabilities[np.arange(len(codes)), codes]
    best = probabilities.argmax(1)
    table = chosen[["file", "row", "split"]].assign(
        label=names[codes], suggested=names[best], margin=np.round(own - probabilities.max(1), 6)
    )
    return table[best != codes].sort_values(["margin", "file", "row"], kind="stable").reset_index(drop=True)


def _out_of_fold(case: UseCase, rows: DataFrame, codes: NDArray[np.int64], classes: int, seed: int) -> Floats:
    """Probabilities (N, K) of each row by a model that was fitted without it."""
    from sklearn.model_selection import KFold

    if np.bincount(codes).min() < 2:
        raise UserError("a class has a single row, which no other row can confirm; exclude it first")
    model, inputs = _model_and_inputs(case, rows, seed)
    result = np.zeros((len(codes), classes))
    for train, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(codes):
        model.fit(inputs[train], codes[train])
        result[np.ix_(held_out, model.classes_)] = model.predict_proba(inputs[held_out])
    return result


def _model_and_inputs(case: UseCase, rows: DataFrame, seed: int) -> tuple[Any, Any]:
    """A classic model, and what it is fitted on: texts, pixels, or columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if "text" in rows:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, max_features=100_000)
        return make_pipeline(vectors, LogisticRegression(C=2.0, max_iter=200)), rows["text"].to_numpy(object)
    inputs, _ = case.encode(rows, case.fit_preprocessing(rows))
    if "image" in rows:
        from sklearn.decomposition import PCA
        from sklearn.neighbors import KNeighborsClassifier

        flat = np.asarray(inputs, np.float32).reshape(len(inputs), -1) / 255
        parts = min(COMPONENTS, flat.shape[1], len(flat) // 2)
        return make_pipeline(PCA(parts, random_state=seed), KNeighborsClassifier(10, weights="distance")), flat
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed), np.asarray(inputs, np.float64)
