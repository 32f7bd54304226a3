"""How well a probability tells those who will from those who will not, what its mistakes cost, and whom they hit.

`target` (N,) is 1 for the event that is feared and 0 otherwise, `probability` (N,) what was said of it, 0..1.
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
"""Rows of a group below which nothing can be said of it."""


def auc_components(target: Any, probability: Any) -> Floats:
    """One value per row (N,) whose mean is the area under the ROC curve, and whose spread is the area's own.

    E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44, 1988: for each row the share of the other kind it stands on the
    right side of. The variance of the mean is that of their test, so that paired resampling of rows is right for areas.
    """
    bad, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    if bad.all() or not bad.any():
        return np.full(len(probabilities), 0.5)
    share = np.where(bad, _share_below(probabilities[~bad], probabilities), 1 - _share_below(probabilities[bad], probabilities))
    area = float(share[bad].mean())
    weight = np.where(bad, len(probabilities) / bad.sum(), len(probabilities) / (~bad).sum())
    values: Floats = area + weight * (share - area)
    return values


def _share_below(others: Floats, probabilities: Floats) -> Floats:
    """For each of `probabilities` the share of `others` below it, half of those equal to it."""
    ordered = np.sort(others)
    both = np.searchsorted(ordered, probabilities, "left") + np.searchsorted(ordered, probabilities, "right")
    share: Floats = both / (2 * len(ordered))
    return share


def auc(target: Any, probability: Any) -> float:
    """The probability that one who will is given a higher one than one who will not; 0.5 is chance."""
    return float(auc_components(target, probability).mean())


def ks_statistic(target: Any, probability: Any) -> float:
    """The largest distance between the two distributions (Kolmogorov-Smirnov)."""
    bad, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    if bad.all() or not bad.any():
        return 0.0
    cuts = np.unique(probabilities)
    lower = [np.searchsorted(np.sort(probabilities[kind]), cuts, "right") / kind.sum() for kind in (bad, ~bad)]
    return float(np.abs(lower[0] - lower[1]).max())


def metrics(target: Any, probability: Any) -> dict[str, float]:
    """AUC first, then separation, Brier score, log loss and expected calibration error."""
    bad, probabilities = np.asarray(target, np.float64), np.asarray(probability, np.float64)
    clipped = np.clip(probabilities, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return {
        "auc": auc(bad, probabilities),
        "ks": ks_statistic(bad, probabilities),
        "brier": float(((probabilities - bad) ** 2).mean()),
        "log_loss": float(-(bad * np.log(clipped) + (1 - bad) * np.log(1 - clipped)).mean()),
        "ece": float(
            sum(abs(row["said"] - row["came"]) * row["rows"] for row in calibration(bad, probabilities)) / len(probabilities)
        ),
    }


def calibration(target: Any, probability: Any, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """Rows in equal groups by what was said, and the share in each that came."""
    bad, probabilities = np.asarray(target, np.float64), np.asarray(probability, np.float64)
    order = np.argsort(probabilities, kind="stable")
    groups = [places for places in np.array_split(order, bins) if len(places)]
    return [
        {
            "said": float(probabilities[places].mean()),
            "came": float(bad[places].mean()),
            "least": float(probabilities[places[0]]),
            "most": float(probabilities[places[-1]]),
            "rows": len(places),
        }
        for places in groups
    ]


def roc(target: Any, probability: Any, points: int = 100) -> list[dict[str, float]]:
    """Of each kind the share that is refused, for `points` thresholds spread over the rows."""
    bad, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    cuts = np.unique(np.quantile(probabilities, np.linspace(1, 0, points)))[::-1]
    shares = ((float((probabilities[~bad] >= cut).mean()), float((probabilities[bad] >= cut).mean())) for cut in cuts)
    return [{"false_alarms": false, "caught": caught} for false, caught in shares]


def cost(target: Any, probability: Any, threshold: float, of_default: float, of_refusal: float) -> float:
    """Mean cost of a row when all at or above `threshold` are refused: a default let in, or a good one refused."""
    bad, refused = np.asarray(target) == 1, np.asarray(probability) >= threshold
    return float((of_default * (bad & ~refused) + of_refusal * (~bad & refused)).mean())


def min_cost(target: Any, probability: Any, of_default: float, of_refusal: float) -> dict[str, float]:
    """Threshold and mean cost, by what the costs ask of a calibrated probability; and the costs of taking and refusing all."""
    threshold = of_refusal / (of_default + of_refusal)
    costs = {"threshold": threshold, "cost": cost(target, probability, threshold, of_default, of_refusal)}
    everyone = {"take_all": 2.0, "refuse_all": -1.0}
    return costs | {name: cost(target, probability, cut, of_default, of_refusal) for name, cut in everyone.items()}


def cost_curve(target: Any, probability: Any, ratios: tuple[float, ...] = (1, 2, 3, 5, 8, 13, 20)) -> list[dict[str, float]]:
    """The mean cost for defaults that cost so many times what a refusal does, beside taking all or refusing all."""
    return [{"default_over_refusal": float(ratio), **min_cost(target, probability, ratio, 1.0)} for ratio in ratios]


def reliability(target: Any, probability: Any) -> dict[str, Any]:
    """Calibration, with the error it adds up to (ece), as bins of equal rows."""
    bins = [
        {"from": row["least"], "to": row["most"], "rows": row["rows"], "confidence": row["said"], "accuracy": row["came"]}
        for row in calibration(target, probability)
    ]
    return {"ece": metrics(target, probability)["ece"], "bins": bins}


def bin_labels(numbers: Series, edges: Sequence[float]) -> Series:
    """Which span between the edges each number lies in, as "under 25", "25-34" or "60 and over"; empty where missing."""
    names = [f"under {edges[0]:g}", *(f"{low:g}-{high - 1:g}" for low, high in pairwise(edges)), f"{edges[-1]:g} and over"]
    place = np.searchsorted(np.asarray(edges, np.float64), numbers.to_numpy(np.float64), "right")
    labels = pd.Series(np.array(names, dtype=object)[place], index=numbers.index, dtype=object)
    return labels.where(numbers.notna(), "")


def fairness(target: Any, probability: Any, groups: Any, threshold: float) -> dict[str, Any]:
    """What the members of each group (N,) meet when all at or above `threshold` are refused, and the widest gaps.

    `refused`: of all; `refused_good`: of those who would have paid (their gap is that of equal opportunity, Hardt, Price,
    Srebro 2016, arXiv 1610.02413); `caught`: of those who would not; `said` against `came`: whether it is calibrated there.
    """
    bad, probabilities = np.asarray(target) == 1, np.asarray(probability, np.float64)
    member, table = np.asarray(groups, dtype=object).astype(str), []
    for name in sorted(set(member)):
        mine = member == name
        if mine.sum() >= MIN_GROUP_ROWS:
            table.append({"group": name, **_group_outcome(bad[mine], probabilities[mine], threshold)})
    gaps = {key: _widest_gap([row[key] for row in table]) for key in ("auc", "refused", "refused_good", "caught")}
    return {"groups": table, "gaps": gaps}


def _group_outcome(bad: Flags, probabilities: Floats, threshold: float) -> Mapping[str, float | int | None]:
    refused = probabilities >= threshold
    return {
        "rows": len(bad),
        "came": float(bad.mean()),
        "said": float(probabilities.mean()),
        "auc": auc(bad, probabilities) if 0 < bad.sum() < len(bad) else None,
        "refused": float(refused.mean()),
        "refused_good": float(refused[~bad].mean()) if (~bad).any() else None,
        "caught": float(refused[bad].mean()) if bad.any() else None,
    }


def _widest_gap(values: list[Any]) -> float | None:
    present = [value for value in values if value is not None]
    return max(present) - min(present) if present else None
