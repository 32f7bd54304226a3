"""Metrics of predicted probabilities of an event: ranking, calibration, cost of errors and group fairness.

`target` (N,) is 1 for a positive row (the event) and 0 for a negative one; `probability` (N,) is the predicted one, 0..1.
Rows with a probability at or above a threshold are refused, such as an applicant for credit who may default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import Series

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

MIN_PROBABILITY = 1e-7
CALIBRATION_BINS = 10
MIN_GROUP_ROWS = 30
"""Groups with fewer rows are not reported."""


def auc_components(target: Any, probability: Any) -> Floats:
    """Row values (N,) with the area under the ROC curve as mean, and its sampling variance; 0.5 if there is one class only.

    The structural components of E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44, 1988: for each row the share of rows
    of the other class that it is ranked correctly against. So paired resampling of rows is valid for the area.
    """
    positive, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    if positive.all() or not positive.any():
        return np.full(len(probabilities), 0.5)
    share = np.where(
        positive, _share_below(probabilities[~positive], probabilities), 1 - _share_below(probabilities[positive], probabilities)
    )
    area = float(share[positive].mean())
    weight = np.where(positive, len(probabilities) / positive.sum(), len(probabilities) / (~positive).sum())
    values: Floats = area + weight * (share - area)
    return values


def _share_below(others: Floats, probabilities: Floats) -> Floats:
    """For each of `probabilities` the share of `others` below it, half of those equal to it."""
    ordered = np.sort(others)
    twice = np.searchsorted(ordered, probabilities, "left") + np.searchsorted(ordered, probabilities, "right")
    share: Floats = twice / (2 * len(ordered))
    return share


def auc(target: Any, probability: Any) -> float:
    """The area under the ROC curve: how often a positive row has a higher probability than a negative one; 0.5 is chance."""
    return float(auc_components(target, probability).mean())


def ks_statistic(target: Any, probability: Any) -> float:
    """Kolmogorov-Smirnov statistic: the largest distance between the two classes' cumulative distributions."""
    positive, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    if positive.all() or not positive.any():
        return 0.0
    thresholds = np.unique(probabilities)
    cumulative = [
        np.searchsorted(np.sort(probabilities[members]), thresholds, "right") / members.sum() for members in (positive, ~positive)
    ]
    return float(np.abs(cumulative[0] - cumulative[1]).max())


def metrics(target: Any, probability: Any) -> dict[str, float]:
    """AUC first, then KS statistic, Brier score, log loss and expected calibration error."""
    positive, probabilities = np.asarray(target, np.float64), np.asarray(probability, np.float64)
    clipped = np.clip(probabilities, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return {
        "auc": auc(positive, probabilities),
        "ks": ks_statistic(positive, probabilities),
        "brier": float(((probabilities - positive) ** 2).mean()),
        "log_loss": float(-(positive * np.log(clipped) + (1 - positive) * np.log(1 - clipped)).mean()),
        "ece": float(
            sum(abs(row["said"] - row["came"]) * row["rows"] for row in calibration(positive, probabilities)) / len(probabilities)
        ),
    }


def calibration(target: Any, probability: Any, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """Bins of equal row counts by probability: mean probability (`said`), share of positives (`came`), lowest and highest."""
    positive, probabilities = np.asarray(target, np.float64), np.asarray(probability, np.float64)
    order = np.argsort(probabilities, kind="stable")
    groups = [rows for rows in np.array_split(order, bins) if len(rows)]
    return [
        {
            "said": float(probabilities[rows].mean()),
            "came": float(positive[rows].mean()),
            "least": float(probabilities[rows[0]]),
            "most": float(probabilities[rows[-1]]),
            "rows": len(rows),
        }
        for rows in groups
    ]


def roc(target: Any, probability: Any, points: int = 100) -> list[dict[str, float]]:
    """The ROC curve at up to `points` thresholds: false positive rate (`false_alarms`) and true positive rate (`caught`)."""
    positive, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    thresholds = np.unique(np.quantile(probabilities, np.linspace(1, 0, points)))[::-1]
    rates = (
        (float((probabilities[~positive] >= threshold).mean()), float((probabilities[positive] >= threshold).mean()))
        for threshold in thresholds
    )
    return [{"false_alarms": false_positive, "caught": true_positive} for false_positive, true_positive in rates]


def cost(target: Any, probability: Any, threshold: float, default_cost: float, refusal_cost: float) -> float:
    """Mean cost per row at a threshold: `default_cost` per false negative, `refusal_cost` per false positive."""
    positive, refused = np.asarray(target) == 1, np.asarray(probability) >= threshold
    return float((default_cost * (positive & ~refused) + refusal_cost * (~positive & refused)).mean())


def min_cost(target: Any, probability: Any, default_cost: float, refusal_cost: float) -> dict[str, float]:
    """The threshold that is optimal for a calibrated probability, its mean cost, and the costs of taking or refusing all rows."""
    threshold = refusal_cost / (default_cost + refusal_cost)
    costs = {"threshold": threshold, "cost": cost(target, probability, threshold, default_cost, refusal_cost)}
    thresholds = {"take_all": 2.0, "refuse_all": -1.0}
    return costs | {name: cost(target, probability, extreme, default_cost, refusal_cost) for name, extreme in thresholds.items()}


def cost_curve(target: Any, probability: Any, ratios: tuple[float, ...] = (1, 2, 3, 5, 8, 13, 20)) -> list[dict[str, float]]:
    """`min_cost` for each ratio of the cost of a default to the cost of a refusal."""
    return [{"default_over_refusal": float(ratio), **min_cost(target, probability, ratio, 1.0)} for ratio in ratios]


def reliability(target: Any, probability: Any) -> dict[str, Any]:
    """Expected calibration error (`ece`), and the calibration bins of equal row counts."""
    bins = [
        {"from": row["least"], "to": row["most"], "rows": row["rows"], "confidence": row["said"], "accuracy": row["came"]}
        for row in calibration(target, probability)
    ]
    return {"ece": metrics(target, probability)["ece"], "bins": bins}


def bin_labels(numbers: Series, edges: Sequence[float]) -> Series:
    """The bin of each number, as "under 25", "25-34" or "60 and over"; empty where missing."""
    names = [f"under {edges[0]:g}", *(f"{low:g}-{high - 1:g}" for low, high in pairwise(edges)), f"{edges[-1]:g} and over"]
    bin_N = np.searchsorted(np.asarray(edges, np.float64), numbers.to_numpy(np.float64), "right")
    labels = pd.Series(np.array(names, dtype=object)[bin_N], index=numbers.index, dtype=object)
    return labels.where(numbers.notna(), "")


def fairness(target: Any, probability: Any, groups: Any, threshold: float) -> dict[str, Any]:
    """For each group (N,) its rates at a threshold, and for each rate the largest gap between groups.

    `refused`: the share refused; `refused_good`: the false positive rate (its gap is equal opportunity: Hardt, Price, Srebro
    2016, arXiv 1610.02413); `caught`: the true positive rate; `said` and `came`: mean probability and share of positives.
    """
    positive, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    group_N, table = np.asarray(groups, dtype=object).astype(str), []
    for name in sorted(set(group_N)):
        members = group_N == name
        if members.sum() >= MIN_GROUP_ROWS:
            table.append({"group": name, **_group_rates(positive[members], probabilities[members], threshold)})
    gaps = {key: _widest_gap([row[key] for row in table]) for key in ("auc", "refused", "refused_good", "caught")}
    return {"groups": table, "gaps": gaps}


def _group_rates(positive: Flags, probabilities: Floats, threshold: float) -> Mapping[str, float | int | None]:
    refused = probabilities >= threshold
    return {
        "rows": len(positive),
        "came": float(positive.mean()),
        "said": float(probabilities.mean()),
        "auc": auc(positive, probabilities) if 0 < positive.sum() < len(positive) else None,
        "refused": float(refused.mean()),
        "refused_good": float(refused[~positive].mean()) if (~positive).any() else None,
        "caught": float(refused[positive].mean()) if positive.any() else None,
    }


def _widest_gap(values: list[Any]) -> float | None:
    present = [value for value in values if value is not None]
    return max(present) - min(present) if present else None
