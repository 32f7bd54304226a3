"""Paired comparisons on the same rows: a compressed model with dense, and dense with its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.core.problem import Problem
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage.artifacts import Table, read_split
from tasks.core.use_case import UseCase
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from pandas import DataFrame


MAX_FLIPPED_ROWS = 200
"""The largest number of flipped rows that is listed."""


def fit_baselines(case: UseCase, rows: Table) -> dict[str, dict[str, DataFrame]]:
    """The predictions of the use case's own baselines by name and split; each is fitted once, on the train rows."""
    evaluation_rows = pd.concat([read_split(rows, split) for split in EVALUATION_SPLITS], ignore_index=True)
    origin = evaluation_rows[[name for name in ("split", "file", "row") if name in evaluation_rows]]
    predictions: dict[str, dict[str, DataFrame]] = {}
    for name, table in case.baselines(read_split(rows, "train"), evaluation_rows).items():
        missing = {column: origin[column].to_numpy() for column in origin if column not in table}
        whole = table.assign(**missing)
        predictions[name] = {
            split: whole[(origin["split"] == split).to_numpy()].reset_index(drop=True) for split in EVALUATION_SPLITS
        }
    return predictions


def compare_with_baselines(
    problem: Problem, own: Mapping[str, DataFrame], predictions: Mapping[str, Mapping[str, DataFrame]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scores of the baselines by name and split, and the gains of the `own` predictions over them by split.

    `predictions` are those of the baselines, by name and split.
    """
    baselines: dict[str, Any] = {}
    gains: dict[str, dict[str, Any]] = {split: {} for split in EVALUATION_SPLITS}
    for name, parts in predictions.items():
        baselines[name] = {}
        for split in EVALUATION_SPLITS:
            part = parts[split]
            interval = statistics.mean_interval(np.asarray(problem.per_row_metric(part), dtype=np.float64))
            baselines[name][split] = {"scores": problem.metrics(part), "interval": interval.as_dict()}
            gains[split][name] = problem.compare_to_baseline(own[split], part) or paired_gain(problem, own[split], part)
    headlines = {split: headline(problem.metrics(own[split]), baselines, gains[split], split) for split in EVALUATION_SPLITS}
    return baselines, {split: {"headline": headlines[split], "gains": gains[split]} for split in EVALUATION_SPLITS}


def paired_gain(problem: Problem, predictions: DataFrame, baseline: DataFrame) -> dict[str, Any]:
    """The gain of the first metric over a baseline's, positive is better, paired over independent rows, with its interval."""
    better, worse = (predictions, baseline) if problem.higher_is_better else (baseline, predictions)
    return statistics.paired_drop(problem.per_row_metric(better), problem.per_row_metric(worse)).as_dict()


def headline(scores: Mapping[str, float], baselines: Mapping[str, Any], gains: Mapping[str, Any], split: str) -> str:
    """One sentence on whether the network is better than its best baseline on this split."""
    if not gains:
        return "It has no baseline."
    best = min(gains, key=lambda name: float(gains[name]["value"]))
    first, gain = next(iter(scores)), gains[best]
    verdict = "beats" if gain["low"] > 0 else "does not beat"
    uncertain = "; the difference may be due to chance" if gain["low"] <= 0 <= gain["high"] else ""
    return (
        f"The dense network {verdict} its best baseline, {best}: {first} {scores[first]:.4f} against "
        f"{baselines[best][split]['scores'][first]:.4f} on {split}, a gain of {gain['value']:+.4f} "
        f"({gain['low']:+.4f}..{gain['high']:+.4f}, {gain['method']}{uncertain})."
    )


@dataclass(frozen=True, slots=True)
class PairedScores:
    """The metric per row (N,) of the dense model and of this one on the same rows, larger is better."""

    dense: np.ndarray[tuple[int], np.dtype[np.float64]]
    own: np.ndarray[tuple[int], np.dtype[np.float64]]


def compare_with_dense(
    problem: Problem, label_column: str, predictions: DataFrame, dense: DataFrame, rows: DataFrame
) -> dict[str, Any]:
    """The drop of the first metric against dense on the same rows: with its interval, by class, and with the flipped rows.

    `at_most` is the one-sided 95 % confidence bound of the drop.
    """
    sign = 1.0 if problem.higher_is_better else -1.0
    paired = PairedScores(*(sign * np.asarray(problem.per_row_metric(table), dtype=np.float64) for table in (dense, predictions)))
    drop = statistics.paired_drop(paired.dense, paired.own)
    report: dict[str, Any] = {
        "drop": drop.as_dict(),
        "at_most": statistics.paired_drop(paired.dense, paired.own, statistics.one_sided()).high,
        "classes": drop_by_class(label_column, paired, rows),
    }
    if statistics.is_binary(paired.dense) and statistics.is_binary(paired.own):
        lost, won = int((paired.dense > paired.own).sum()), int((paired.dense < paired.own).sum())
        report |= {"lost": lost, "won": won, "mcnemar_p": statistics.mcnemar(lost, won)}
        report["flipped"] = flipped_rows(paired, predictions, dense)
    return report


def drop_by_class(label_column: str, paired: PairedScores, rows: DataFrame) -> list[dict[str, Any]]:
    """The drop in each class, the largest first; empty without a label column."""
    if not label_column:
        return []
    classes = []
    for name, places in rows.groupby(label_column).indices.items():
        drop = statistics.paired_drop(paired.dense[places], paired.own[places])
        means = {"dense": float(paired.dense[places].mean()), "own": float(paired.own[places].mean())}
        classes.append({"class": str(name), "rows": len(places), **means, "drop": drop.value, "low": drop.low, "high": drop.high})
    return sorted(classes, key=lambda row: -row["drop"])


def flipped_rows(paired: PairedScores, predictions: DataFrame, dense: DataFrame) -> list[dict[str, Any]]:
    """Rows that one model gets right and the other wrong, the newly wrong ones first, at most `MAX_FLIPPED_ROWS`."""
    listed = []
    rows = np.flatnonzero(paired.dense != paired.own).tolist()
    for place in sorted(rows, key=lambda at: (paired.dense[at] < paired.own[at], at)):
        side = "lost" if paired.dense[place] > paired.own[place] else "won"
        origin = {name: _to_python(predictions.iloc[place][name]) for name in ("file", "row") if name in predictions}
        listed.append({**origin, "side": side, "own": _scalar_values(predictions, place), "dense": _scalar_values(dense, place)})
    return listed[:MAX_FLIPPED_ROWS]


def _scalar_values(predictions: DataFrame, place: int) -> dict[str, Any]:
    """The scalar values of one prediction, without lists and bytes."""
    scalars = {str(name): _to_python(value) for name, value in predictions.iloc[place].items()}
    for name in ("file", "row", "split"):
        scalars.pop(name, None)
    return {name: value for name, value in scalars.items() if isinstance(value, (str, int, float, bool))}


def _to_python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
