"""Fit what a classifier's outputs need to be read with known error: temperature, conformal threshold, out-of-distribution scores.

All of it is fitted on validation rows, the description of usual inputs on train rows. `tasks.metrics.uncertainty` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.metrics import input_scores, uncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.core.problem import PreprocessingState
    from tasks.metrics.uncertainty import OutputKind

    Array = NDArray[np.generic]
    Floats = NDArray[np.float64]

TEMPERATURES = (0.05, 20.0)
HALVINGS = 60
KEPT_SHARE = 0.98
"""Share of validation rows that no out-of-distribution score excludes."""
LEAST_PROBABILITY = 1e-12


def fit_temperature(outputs: Array, targets: Array, kind: OutputKind, pivot: float = 0.0) -> float:
    """The temperature T of the outputs (N, ...), fitted to targets (N,): Guo et al. 2017, arXiv 1706.04599.

    Logits are divided by T; log-odds z of an event become pivot + (z - pivot) / T, so that the decision at `pivot` stays. The
    negative log likelihood is convex in 1/T; its minimum is found by bisection of the slope. One row in N + 2 counts as evenly
    spread over the classes (the rule of succession), without which T would be 0 where every row is right. The result is 1
    where it would not improve the negative log likelihood of these rows.
    """
    base, slope = _parts(outputs, kind, pivot)
    truth = _one_hot(targets, base.shape[1])
    smooth = 1 / (len(truth) + 2)
    expected = truth * (1 - smooth) + smooth / base.shape[1]
    low, high = (1 / bound for bound in reversed(TEMPERATURES))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if float((slope * (_softmax(base + middle * slope) - expected)).sum(1).mean()) > 0:
            high = middle
        else:
            low = middle
    inverse = float(np.float32((low + high) / 2))
    better = _log_loss(base + inverse * slope, truth) < _log_loss(base + slope, truth)
    return 1 / inverse if better else 1.0


def log_loss(outputs: Array, targets: Array, kind: OutputKind) -> float:
    """Mean negative log likelihood of targets (N,) by outputs (N, ...), in nats."""
    logits = uncertainty.class_logits(outputs, kind)
    return _log_loss(logits, _one_hot(targets, logits.shape[1]))


def fit_conformal(outputs: Array, targets: Array, kind: OutputKind, coverage: float) -> dict[str, Any]:
    """The threshold of split-conformal prediction sets (Vovk et al. 2005; Sadinle, Lei and Wasserman, JASA 114, 2019).

    The score of a row is 1 - the probability of its true class, and the threshold its ceil((N + 1) * coverage)-th smallest
    value, or 1 where there are too few rows for that: then every set holds all classes.
    """
    probabilities = uncertainty.probabilities_of(outputs, kind)
    scores = np.sort(1 - probabilities[np.arange(len(probabilities)), np.asarray(targets, np.int64)])
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    threshold = float(scores[rank - 1]) if rank <= len(scores) else 1.0
    return {"coverage": coverage, "threshold": threshold, "rows": len(scores)}


def fit_out_of_distribution(
    outputs: Array, inputs: Array, train_inputs: Array, state: PreprocessingState, kind: OutputKind
) -> dict[str, Any]:
    """The scores of validation `outputs` and `inputs` with their thresholds, and the share of rows that they keep together.

    The energy of logits, and a score of the inputs where their kind has one. The energy of the log-odds of one event says
    nothing about unusual inputs, and is left out.
    """
    scores: dict[str, dict[str, Any]] = {"energy": {}} if kind == "classes" else {}
    if fitted := input_scores.fit(train_inputs, state):
        scores["inputs"] = fitted
    kept = 1 - (1 - KEPT_SHARE) / max(1, len(scores))
    for name, description in scores.items():
        values = uncertainty.energy(outputs) if name == "energy" else input_scores.score(inputs, description)
        rank = min(len(values), int(np.ceil((len(values) + 1) * kept - 1e-9)))
        description["threshold"] = float(np.sort(values)[rank - 1])
    return {"kept": KEPT_SHARE, "rows": len(inputs), "scores": scores}


def _parts(outputs: Array, kind: OutputKind, pivot: float) -> tuple[Floats, Floats]:
    """What a temperature leaves alone and what it divides, both (N, K)."""
    logits = uncertainty.class_logits(outputs, kind)
    base = np.zeros_like(logits)
    if kind == "event":
        base[:, 1] = pivot
    return base, logits - base


def _one_hot(targets: Array, classes: int) -> Floats:
    chosen: Floats = (np.arange(classes)[None] == np.asarray(targets, np.int64)[:, None]).astype(np.float64)
    return chosen


def _softmax(logits: Floats) -> Floats:
    return uncertainty.probabilities_of(logits, "classes")


def _log_loss(logits: Floats, truth: Floats) -> float:
    """Mean negative logarithm of the probability of the true class."""
    probability = (_softmax(logits) * truth).sum(1)
    return float(-np.log(np.maximum(probability, LEAST_PROBABILITY)).mean())
