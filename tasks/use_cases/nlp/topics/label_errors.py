"""Label errors: rows for which the model is confident in another class than the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_LISTED = 50


def find_label_errors(predictions: DataFrame) -> dict[str, Any]:
    """Suspected labels, the surest first, by confident learning (Northcutt et al. 2021, arXiv 1911.00068).

    A row is suspected when the likeliest of the classes it is as surely in as that class's own rows are on average is not
    the one it is labelled. The model must not have learnt from these rows. Where `truth` is given, it is said how many of
    the suspicions are right (`precision`), how many wrong labels were suspected (`recall`), and how well the model does
    against the truth.
    """
    classes = list(predictions["classes"].iloc[0])
    p_NK = np.stack(predictions["probabilities"].to_list()).astype(np.float64)
    given_N = np.array([classes.index(label) for label in predictions["label"]])
    usual_K = np.array([p_NK[given_N == k, k].mean() if (given_N == k).any() else np.inf for k in range(len(classes))])
    sure_NK = np.where(p_NK >= usual_K, p_NK, 0.0)
    likeliest_N = sure_NK.argmax(1)
    suspected_N = (sure_NK.max(1) > 0) & (likeliest_N != given_N)
    rows = np.flatnonzero(suspected_N)
    listed = rows[np.argsort(-sure_NK[rows].max(1), kind="stable")][:MAX_LISTED]
    report: dict[str, Any] = {
        "suspected": len(rows),
        "share": len(rows) / len(predictions),
        "rows": [_listed(predictions, int(row), classes[likeliest_N[row]], float(p_NK[row, likeliest_N[row]])) for row in listed],
    }
    truth = predictions["truth"].to_numpy(dtype=object) if "truth" in predictions else np.array([], dtype=object)
    if len(truth) and (truth != "").all():
        wrong_N = truth != predictions["label"].to_numpy(dtype=object)
        num_found = int((suspected_N & wrong_N).sum())
        report |= {
            "wrong": int(wrong_N.sum()),
            "precision": num_found / len(rows) if len(rows) else None,
            "recall": num_found / int(wrong_N.sum()) if wrong_N.any() else None,
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
