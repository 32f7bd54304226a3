"""Threshold curves from predictions: ROC, precision-recall and Kolmogorov-Smirnov; downsampling for the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_POINTS = 200


def roc(scores: NDArray[Any], truth: NDArray[Any]) -> pd.DataFrame:
    """False and true positive rate at each threshold, from (0, 0) to (1, 1); empty unless both classes occur."""
    hits, misses = _counts(scores, truth)
    if not len(hits) or not hits[-1] or not misses[-1]:
        return pd.DataFrame(columns=["fpr", "tpr"], dtype=float)
    fpr, tpr = np.r_[0, misses / misses[-1]], np.r_[0, hits / hits[-1]]
    return pd.DataFrame({"fpr": fpr, "tpr": tpr})


def precision_recall(scores: NDArray[Any], truth: NDArray[Any]) -> pd.DataFrame:
    """Recall and precision at each threshold."""
    hits, misses = _counts(scores, truth)
    if not len(hits) or not hits[-1]:
        return pd.DataFrame(columns=["recall", "precision"], dtype=float)
    return pd.DataFrame({"recall": hits / hits[-1], "precision": hits / (hits + misses)})


def separation(scores: NDArray[Any], truth: NDArray[Any]) -> pd.DataFrame:
    """Cumulative distributions of the scores of both classes; their largest difference is the Kolmogorov-Smirnov statistic."""
    at = np.unique(scores)
    kinds = [np.sort(scores[truth.astype(bool)]), np.sort(scores[~truth.astype(bool)])]
    if not len(kinds[0]) or not len(kinds[1]):
        return pd.DataFrame(columns=["score", "positive", "negative"], dtype=float)
    below = [np.searchsorted(values, at, side="right") / len(values) for values in kinds]
    return pd.DataFrame({"score": at, "positive": below[0], "negative": below[1]})


def gap(shares: pd.DataFrame) -> pd.Series:
    """Absolute difference of the two cumulative distributions at each score."""
    return (shares["negative"] - shares["positive"]).abs()


def area(curve: pd.DataFrame) -> float:
    """Area under a curve over its first column, by the trapezoidal rule."""
    x, y = curve.iloc[:, 0].to_numpy(), curve.iloc[:, 1].to_numpy()
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())


def _counts(scores: NDArray[Any], truth: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """True and false positives at each distinct score as the threshold, highest first."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, positive = scores[order], truth[order].astype(bool)
    last = np.flatnonzero(np.r_[sorted_scores[1:] != sorted_scores[:-1], True]) if len(scores) else np.array([], dtype=int)
    return np.cumsum(positive)[last], np.cumsum(~positive)[last]


def downsampled(curve: pd.DataFrame, *, always: int = 0) -> pd.DataFrame:
    """At most `MAX_POINTS` rows of a curve, evenly spaced, always with the one at position `always`."""
    if len(curve) <= MAX_POINTS:
        return curve
    evenly = np.linspace(0, len(curve) - 1, MAX_POINTS - 1).round().astype(int)
    return curve.iloc[np.union1d(evenly, always)].reset_index(drop=True)
