"""Scores of classifiers for all classes of a problem, also those that no train row of the sample has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ABSENT_SCORE = -100.0
"""The logit of a class that the model never saw: its probability is 0."""


def weights_of_all_classes(coef_KF: Any, intercept_K: Any, seen: Sequence[int], classes: int) -> tuple[Floats, Floats]:
    """The weights (classes, F) and biases (classes,) whose softmax is the prediction of a linear classifier.

    `seen` are the indices of the classes in the model's order. A model of two classes has one row, for the second of them.
    """
    coef_KF, intercept_K = np.atleast_2d(np.asarray(coef_KF, np.float64)), np.atleast_1d(np.asarray(intercept_K, np.float64))
    if len(coef_KF) == 1 and len(seen) == 2:
        coef_KF, intercept_K = np.concatenate([0 * coef_KF, coef_KF]), np.append(0.0, intercept_K)
    weights, biases = np.zeros((classes, coef_KF.shape[1])), np.full(classes, ABSENT_SCORE)
    weights[list(seen)], biases[list(seen)] = coef_KF, intercept_K
    return weights, biases


def scores_of_all_classes(scores: Any, seen: Sequence[int], classes: int) -> Floats:
    """The same for the decision values (N,) or (N, K) of a classifier: (N, classes)."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim == 1:
        scores = np.stack([np.zeros(len(scores)), scores], axis=1)
    every = np.full((len(scores), classes), ABSENT_SCORE)
    every[:, list(seen)] = scores
    return every
