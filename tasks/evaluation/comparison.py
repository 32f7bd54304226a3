"""A compressed model beside dense, and a model beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.core.artifacts import Table, read_split
from tasks.core.problem import Problem
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.use_case import UseCase
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from pandas import DataFrame


FLIPPED_ROWS = 200
"""At most so many rows that changed sides are listed."""


def rivals(case: UseCase, problem: Problem, rows: Table, own: Mapping[str, DataFrame]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trivial and the classic rivals' scores on both splits, and how much better our `own` answers are, by split.

    Each rival is fitted once.
    """
    asked = pd.concat([read_split(rows, split) for split in EVALUATION_SPLITS], ignore_index=True)
    found: dict[str, Any] = {}
    gains: dict[str, dict[str, Any]] = {split: {} for split in EVALUATION_SPLITS}
    for name, predictions in case.baselines(read_split(rows, "train"), asked).items():
        found[name] = {}
        for split in EVALUATION_SPLITS:
            part = predictions[(asked["split"] == split).to_numpy()].reset_index(drop=True)
            interval = statistics.mean_interval(np.asarray(problem.per_row_metric(part), dtype=np.float64))
            found[name][split] = {"scores": problem.metrics(part), "interval": interval.as_dict()}
            gains[split][name] = problem.compare_to_baseline(own[split], part) or paired(problem, own[split], part)
    said = {split: headline(problem.metrics(own[split]), found, gains[split], split) for split in EVALUATION_SPLITS}
    return found, {split: {"headline": said[split], "gains": gains[split]} for split in EVALUATION_SPLITS}


def paired(problem: Problem, predictions: DataFrame, rival: DataFrame) -> dict[str, Any]:
    """How much better the first metric is than a rival's, positive is better, over rows that know nothing of each other."""
    better, worse = (predictions, rival) if problem.higher_is_better else (rival, predictions)
    return statistics.paired_drop(problem.per_row_metric(better), problem.per_row_metric(worse)).as_dict()


def headline(scores: Mapping[str, float], rivalry: Mapping[str, Any], gains: Mapping[str, Any], split: str) -> str:
    """Whether the network is better than the best of its rivals, in plain words."""
    if not gains:
        return "It has no rival."
    best = min(gains, key=lambda name: float(gains[name]["value"]))
    first, gain = next(iter(scores)), gains[best]
    verdict = "beats" if gain["low"] > 0 else "does not beat"
    unsure = "; the difference may be luck" if gain["low"] <= 0 <= gain["high"] else ""
    return (
        f"The dense network {verdict} its best rival, {best}: {first} {scores[first]:.4f} against "
        f"{rivalry[best][split]['scores'][first]:.4f} on {split}, a gain of {gain['value']:+.4f} "
        f"({gain['low']:+.4f}..{gain['high']:+.4f}, {gain['method']}{unsure})."
    )


@dataclass(frozen=True, slots=True)
class PairedScores:
    """The same rows judged twice: goodness (N,) of the dense model and of this one, larger is better."""

    dense: np.ndarray[tuple[int], np.dtype[np.float64]]
    own: np.ndarray[tuple[int], np.dtype[np.float64]]


def comparison(problem: Problem, label_column: str, predictions: DataFrame, dense: DataFrame, rows: DataFrame) -> dict[str, Any]:
    """What was lost against the dense model on the same rows: how much, how surely, in which classes, on which rows."""
    sign = 1.0 if problem.higher_is_better else -1.0
    sides = PairedScores(*(sign * np.asarray(problem.per_row_metric(found), dtype=np.float64) for found in (dense, predictions)))
    drop = statistics.paired_drop(sides.dense, sides.own)
    found: dict[str, Any] = {
        "drop": drop.as_dict(),
        "at_most": statistics.paired_drop(sides.dense, sides.own, statistics.one_sided()).high,
        "classes": by_class(label_column, sides, rows),
    }
    if statistics.is_binary(sides.dense) and statistics.is_binary(sides.own):
        lost, won = int((sides.dense > sides.own).sum()), int((sides.dense < sides.own).sum())
        found |= {"lost": lost, "won": won, "mcnemar_p": statistics.mcnemar(lost, won)}
        found["flipped"] = flipped(sides, predictions, dense)
    return found


def by_class(label_column: str, sides: PairedScores, rows: DataFrame) -> list[dict[str, Any]]:
    """The change in each class, the worst first; nothing where there are no classes."""
    if not label_column:
        return []
    found = []
    for name, places in rows.groupby(label_column).indices.items():
        drop = statistics.paired_drop(sides.dense[places], sides.own[places])
        means = {"dense": float(sides.dense[places].mean()), "own": float(sides.own[places].mean())}
        found.append({"class": str(name), "rows": len(places), **means, "drop": drop.value, "low": drop.low, "high": drop.high})
    return sorted(found, key=lambda row: -row["drop"])


def flipped(sides: PairedScores, predictions: DataFrame, dense: DataFrame) -> list[dict[str, Any]]:
    """Rows that one model gets right and the other wrong, those newly wrong first, by where they were found."""
    listed = []
    for place in sorted(np.flatnonzero(sides.dense != sides.own).tolist(), key=lambda at: (sides.dense[at] < sides.own[at], at)):
        side = "lost" if sides.dense[place] > sides.own[place] else "won"
        here = {name: _plain(predictions.iloc[place][name]) for name in ("file", "row") if name in predictions}
        listed.append({**here, "side": side, "own": _said(predictions, place), "dense": _said(dense, place)})
    return listed[:FLIPPED_ROWS]


def _said(predictions: DataFrame, place: int) -> dict[str, Any]:
    """The plain values of one prediction; lists and bytes stay in the table."""
    row = {str(name): _plain(value) for name, value in predictions.iloc[place].items() if name not in ("file", "row", "split")}
    return {name: value for name, value in row.items() if isinstance(value, (str, int, float, bool))}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
