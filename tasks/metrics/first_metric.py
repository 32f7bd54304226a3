"""First metrics of a classification: their values, and row values whose mean they are, so that paired statistics hold for each.

Predictions are tables as in `classification`. The row values of a metric that is no mean over rows are its value plus the row's
influence on it (the infinitesimal jackknife: B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982): their
mean is the metric, and their variance divided by N its sampling variance for many rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.metrics import binary_classification, classification

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

FirstMetric = Literal["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "sensitivity"]


def row_values(predictions: DataFrame, metric: FirstMetric, event: str = "", specificity: float = 0.9) -> Floats:
    """Row values (N,) whose mean is the metric. `event` and `specificity` are for `sensitivity`."""
    if metric == "balanced_accuracy":
        return _balanced_accuracy(predictions)
    if metric == "macro_f1":
        return _macro_f1(predictions)
    if metric == "roc_auc":
        return _roc_auc(predictions)
    if metric == "sensitivity":
        return _sensitivity(predictions, event, specificity)
    return classification.correct_rows(predictions)


def _balanced_accuracy(predictions: DataFrame) -> Floats:
    """Right answers, weighted so that each class that has rows counts equally: the mean recall."""
    labels = predictions["label"]
    counts = labels.map(labels.value_counts()).to_numpy(np.float64)
    values: Floats = classification.correct_rows(predictions) * len(labels) / (labels.nunique() * counts)
    return values


def _macro_f1(predictions: DataFrame) -> Floats:
    """F1 averaged over classes: 2 TP / D with D a class's rows and predictions; the influence is (2 tp - F1 d) N / D."""
    labels, predicted = predictions["label"].to_numpy(), predictions["predicted"].to_numpy()
    classes = classification.class_names(predictions)
    values = np.zeros(len(labels))
    for name in classes:
        true_positive = ((labels == name) & (predicted == name)).astype(np.float64)
        members = (labels == name).astype(np.float64) + (predicted == name)
        f1 = 2 * true_positive.sum() / max(members.sum(), 1)
        values += f1 + (2 * true_positive - f1 * members) * len(labels) / max(members.sum(), 1)
    return values / len(classes)


def _roc_auc(predictions: DataFrame) -> Floats:
    """The area under the ROC curve, one class against the others, averaged over the classes that have rows (DeLong 1988)."""
    probabilities = _probabilities(predictions)
    labels = predictions["label"].to_numpy()
    areas = [
        binary_classification.auc_components(labels == name, probabilities[:, place])
        for place, name in enumerate(classification.class_names(predictions))
        if 0 < (labels == name).sum() < len(labels)
    ]
    return np.mean(areas, axis=0) if areas else np.full(len(labels), 0.5)


def _sensitivity(predictions: DataFrame, event: str, specificity: float) -> Floats:
    """The share of event rows above the lowest threshold at which `specificity` of the other rows are at or below it.

    The threshold counts as fixed, so the interval is that of the event rows alone. Without event rows or others it is 0.
    """
    scores = _probabilities(predictions)[:, classification.class_names(predictions).index(event)]
    event_rows = (predictions["label"] == event).to_numpy()
    if event_rows.all() or not event_rows.any():
        return np.zeros(len(scores))
    threshold = np.quantile(scores[~event_rows], specificity, method="higher")
    above = (scores > threshold).astype(np.float64)
    value = float(above[event_rows].mean())
    values: Floats = value + np.where(event_rows, (above - value) * len(scores) / event_rows.sum(), 0.0)
    return values


def _probabilities(predictions: DataFrame) -> NDArray[Any]:
    return np.stack(predictions["probabilities"].to_list()).astype(np.float64)
