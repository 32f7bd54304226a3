"""A linear head on features: multinomial logistic regression, its strength chosen on validation rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.core.use_case import Array

    Floats = NDArray[np.float64]

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
"""Inverse regularisation strengths that are tried, the most regularised first."""
MAX_ITERATIONS = 300
MIN_STD = 1e-3


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Logits are `features @ weight.T + bias`."""

    weight: NDArray[np.float32]
    """(K, F)"""
    bias: NDArray[np.float32]
    """(K,)"""
    strength: float
    """The inverse regularisation strength that was chosen."""

    def logits(self, features: Array) -> NDArray[np.float32]:
        """Logits (N, K) of features (N, F)."""
        outputs: NDArray[np.float32] = features.astype(np.float32) @ self.weight.T + self.bias
        return outputs


def fit(
    features: Array, targets: Array, validation: tuple[Array, Array] | None, classes: int, *, balanced: bool = False
) -> LinearHead:
    """The head with the smallest log loss on `validation` (features, targets), of all `STRENGTHS`.

    Features are standardised first; the head holds that scaling. `balanced` weighs the classes equally in both. Without
    validation rows the strength is the middle one.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows = features.astype(np.float32)
    mean, std = rows.mean(0, dtype=np.float64), np.maximum(rows.std(0, dtype=np.float64), MIN_STD)
    rows = ((rows - mean) / std).astype(np.float32)
    best: tuple[float, LinearHead] | None = None
    for strength in STRENGTHS if validation else STRENGTHS[len(STRENGTHS) // 2 :][:1]:
        model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS, class_weight="balanced" if balanced else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a head that is not quite converged is regularised a little more
            model.fit(rows, targets)
        weight, bias = _all_classes(model, classes)
        weight, bias = weight / std, bias - (weight / std) @ mean
        head = LinearHead(weight.astype(np.float32), bias.astype(np.float32), strength)
        loss = _log_loss(head.logits(validation[0]), validation[1], balanced) if validation else 0.0
        if best is None or loss < best[0]:
            best = loss, head
    assert best is not None
    return best[1]


def _all_classes(model: Any, classes: int) -> tuple[Floats, Floats]:
    """Weights (K, F) and biases (K,) of all classes; one without train rows is never predicted."""
    coefficients, intercepts = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if len(coefficients) == 1:  # scikit-learn has one function for two classes
        coefficients, intercepts = (
            np.concatenate([-coefficients, coefficients]) / 2,
            np.concatenate([-intercepts, intercepts]) / 2,
        )
    weight, bias = np.zeros((classes, coefficients.shape[1])), np.full(classes, -1e4)
    weight[model.classes_], bias[model.classes_] = coefficients, intercepts
    return weight, bias


def _log_loss(logits: Array, targets: Array, balanced: bool) -> float:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(targets)), targets]
    counts = np.bincount(targets)[targets]
    return float(np.average(losses, weights=1 / counts if balanced else None))
