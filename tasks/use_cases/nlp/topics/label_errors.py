"""Label errors: rows for which the model is confident in another class than the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_LISTED = 50


def find_label_errors(predictions: DataFrame) -> dict[str, Any]:
    """Suspected label errors, the most confident first, by confident learning (Northcutt et al. 2021, arXiv 1911.00068).

    The threshold of a class is the mean probability of the class over the rows that have its label. Of the classes whose
    threshold a row reaches, the most probable one is compared with the label; the row is suspected if they differ. The model
    must not be trained on these rows. With `truth`, the report also has the share of suspected labels that are wrong
    (`precision`), the share of wrong labels that are suspected (`recall`), and the model's accuracy against the truth.
    """
    classes = list(predictions["classes"].iloc[0])
    p_NK = np.stack(predictions["probabilities"].to_list()).astype(np.float64)
    label_N = np.array([classes.index(label) for label in predictions["label"]])
    threshold_K = np.array([p_NK[label_N == k, k].mean() if (label_N == k).any() else np.inf for k in range(len(classes))])
    confident_NK = np.where(p_NK >= threshold_K, p_NK, 0.0)
    suggested_N = confident_NK.argmax(1)
    suspected_N = (confident_NK.max(1) > 0) & (suggested_N != label_N)
    rows = np.flatnonzero(suspected_N)
    listed = rows[np.argsort(-confident_NK[rows].max(1), kind="stable")][:MAX_LISTED]
    report: dict[str, Any] = {
        "suspected": len(rows),
        "share": len(rows) / len(predictions),
        "rows": [_listed(predictions, int(row), classes[suggested_N[row]], float(p_NK[row, suggested_N[row]])) for row in listed],
    }
    truth = predictions["truth"].to_numpy(dtype=object) if "truth" in predictions else np.array([], dtype=object)
    if len(truth) and (truth != "").all():
        wrong_N = truth != predictions["label"].to_numpy(dtype=object)
        num_correct = int((suspected_N & wrong_N).sum())
        report |= {
            "wrong": int(wrong_N.sum()),
            "precision": num_correct / len(rows) if len(rows) else None,
            "recall": num_correct / int(wrong_N.sum()) if wrong_N.any() else None,
            "accuracy_against_truth": float((predictions["predicted"].to_numpy(dtype=object) == truth).mean()),
        }
    return report


def _listed(predictions: DataFrame, row: int, predicted_label: str, confidence: float) -> dict[str, Any]:
    location = {name: predictions[name].iloc[row] for name in ("file", "row", "label") if name in predictions}
    return {
        **{name: value.item() if isinstance(value, np.generic) else value for name, value in location.items()},
        "seems": predicted_label,
        "confidence": confidence,
    }
