"""Metrics and reports of multi-class classification.

Predictions are tables with `label`, `predicted`, `confidence`, and the lists `classes` and `probabilities`, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

    Floats = NDArray[np.float64]

CALIBRATION_BINS = 15
MIN_PROBABILITY = 1e-12


def softmax(logits_NK: NDArray[Any]) -> Floats:
    """Logits (N, K) to probabilities (N, K)."""
    shifted = logits_NK.astype(np.float64) - logits_NK.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: Floats = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities


def predictions_table(rows: DataFrame, probabilities_NK: Floats, classes: Sequence[str], keep: Sequence[str]) -> DataFrame:
    """The predictions: columns `keep` of `rows`, the predicted class, its confidence, and all probabilities."""
    import pandas as pd

    best = probabilities_NK.argmax(1)
    columns = {
        **{name: rows[name] for name in keep if name in rows},
        "predicted": np.array(classes, dtype=object)[best],
        "confidence": probabilities_NK[np.arange(len(best)), best],
        "classes": [list(classes)] * len(best),
        "probabilities": list(probabilities_NK.astype(np.float32)),
    }
    return pd.DataFrame(columns, index=rows.index)


def majority_baseline(labels: Series, count: int, classes: Sequence[str]) -> Floats:
    """The class shares among `labels` as the probabilities of every row, (count, K)."""
    shares = labels.value_counts(normalize=True).reindex(list(classes), fill_value=0.0).to_numpy(np.float64)
    return np.tile(shares, (count, 1))


def class_names(predictions: DataFrame) -> list[str]:
    """The names of the classes, in the order of the probabilities."""
    return list(predictions["classes"].iloc[0])


def metrics(predictions: DataFrame) -> dict[str, float]:
    """Accuracy first, then F1 averaged over classes (plain, and weighted by their rows), log loss and calibration error."""
    confusion = _confusion(predictions, class_names(predictions))
    table = _by_class(confusion)
    support = confusion.sum(1)
    return {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "macro_f1": float(table["f1"].mean()),
        "weighted_f1": float(np.average(table["f1"], weights=support)),
        "log_loss": log_loss(predictions),
        "ece": calibration(predictions)["ece"],
    }


def correct_rows(predictions: DataFrame) -> Floats:
    """1 where the prediction is right, else 0, (N,)."""
    correct: Floats = (predictions["label"] == predictions["predicted"]).to_numpy(np.float64)
    return correct


def log_loss(predictions: DataFrame) -> float:
    """Mean negative logarithm of the probability given to the true class, in nats."""
    probabilities_NK = _probabilities(predictions)
    probability_N = probabilities_NK[np.arange(len(predictions)), _class_indices(predictions["label"], class_names(predictions))]
    return float(-np.log(np.maximum(probability_N, MIN_PROBABILITY)).mean())


def calibration(predictions: DataFrame) -> dict[str, Any]:
    """Rows by confidence in equal bins, and the expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""
    confidence = predictions["confidence"].to_numpy(np.float64)
    correct = correct_rows(predictions)
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins, error = [], 0.0
    for number in range(CALIBRATION_BINS):
        inside = place == number
        if count := int(inside.sum()):
            sure, right = float(confidence[inside].mean()), float(correct[inside].mean())
            error += abs(sure - right) * count / len(place)
            bins.append(
                {
                    "from": number / CALIBRATION_BINS,
                    "to": (number + 1) / CALIBRATION_BINS,
                    "rows": count,
                    "confidence": sure,
                    "accuracy": right,
                }
            )
    return {"ece": error, "bins": bins}


def report(predictions: DataFrame) -> dict[str, Any]:
    """Confusion matrix (true class by row), metrics per class with averages, calibration, ROC and precision-recall areas."""
    classes = class_names(predictions)
    confusion = _confusion(predictions, classes)
    table, support = _by_class(confusion), confusion.sum(1)
    ranked = _areas(predictions, classes)
    per_class = [
        {"class": name, **{key: float(values[k]) for key, values in table.items()}, "support": int(support[k]), **ranked[k]}
        for k, name in enumerate(classes)
    ]
    right, rows = float(np.trace(confusion)), float(confusion.sum())
    averages = {
        "micro": dict.fromkeys(table, right / rows),
        "macro": {key: float(values.mean()) for key, values in table.items()},
        "weighted": {key: float(np.average(values, weights=support)) for key, values in table.items()},
    }
    mean = {key: [area for row in ranked if (area := row[key]) is not None] for key in ("roc_auc", "average_precision")}
    return {
        "classes": list(classes),
        "confusion": confusion.tolist(),
        "per_class": per_class,
        "averages": averages,
        "macro_roc_auc": float(np.mean(mean["roc_auc"])) if mean["roc_auc"] else None,
        "macro_average_precision": float(np.mean(mean["average_precision"])) if mean["average_precision"] else None,
        "calibration": calibration(predictions),
    }


def _class_indices(labels: Any, classes: Sequence[str]) -> NDArray[np.int64]:
    number = {name: position for position, name in enumerate(classes)}
    return np.array([number[label] for label in labels], dtype=np.int64)


def _probabilities(predictions: DataFrame) -> Floats:
    return np.stack(predictions["probabilities"].to_list()).astype(np.float64)


def _confusion(predictions: DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    """Counts (K, K), true class by row and predicted class by column."""
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (_class_indices(predictions["label"], classes), _class_indices(predictions["predicted"], classes)), 1)
    return confusion


def _by_class(confusion: NDArray[np.int64]) -> dict[str, Floats]:
    """Precision, recall and F1 per class; 0 for a class without predictions or rows."""
    right = np.diag(confusion).astype(np.float64)
    precision = right / np.maximum(confusion.sum(0), 1)
    recall = right / np.maximum(confusion.sum(1), 1)
    f1 = 2 * right / np.maximum(confusion.sum(0) + confusion.sum(1), 1)
    return {"precision": precision, "recall": recall, "f1": f1}


def _areas(predictions: DataFrame, classes: Sequence[str]) -> list[dict[str, float | None]]:
    """One-vs-rest ROC AUC and average precision per class; None for a class with no rows or with all rows."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    probabilities_NK, truth = _probabilities(predictions), _class_indices(predictions["label"], classes)
    areas: list[dict[str, float | None]] = []
    for k in range(len(classes)):
        mine = truth == k
        if not 0 < mine.sum() < len(mine):
            areas.append({"roc_auc": None, "average_precision": None})
        else:
            ranks = probabilities_NK[:, k]
            areas.append(
                {"roc_auc": float(roc_auc_score(mine, ranks)), "average_precision": float(average_precision_score(mine, ranks))}
            )
    return areas
