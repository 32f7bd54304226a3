"""Candidates with the evidence for each term of the contract, from the artifacts of evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.compression import DENSE
from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.settings import Contract
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Table, read_split
from tasks.release.champion import champion_predictions
from tasks.release.decision import Candidate, Kind
from tasks.release.evidence import (
    Blockers,
    Counted,
    Drop,
    Estimated,
    Evidence,
    Floor,
    LargestDrop,
    LargestGap,
    NotShownWorse,
    ProcessTimes,
)
from tasks.release.paired_tests import PairedDrop, paired_drop

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

MIN_GROUP_ROWS = 30
"""Groups of fewer test rows are left out of `max_group_gap`."""
BATCH = "1"
"""The batch size of the latency terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What evaluate measured of one model: its metrics, its times against dense, and its predictions by split."""

    name: str
    kind: Kind
    metrics: Mapping[str, Any]
    times: Mapping[str, Any]
    """Its entry in latency.json."""
    predictions: Mapping[str, DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What `beats` compares with: the baseline with the best score on validation, or the champion."""

    name: str
    predictions: Mapping[str, DataFrame]
    """By split."""
    title: str = "the best baseline"
    """What it is called in a sentence."""


def read_predictions(folder: Path) -> dict[str, DataFrame]:
    """The predictions of a model, by split."""
    table = Table(folder)
    return {split: read_split(table, split) for split in ("validation", "test")}


def assess(
    own: Measured,
    dense: Mapping[str, DataFrame],
    baseline: Reference | None,
    problem: Problem,
    contract: Contract,
    label_column: str,
) -> Candidate:
    """The candidate with its evidence: `dense` are the dense model's predictions by split, on the same rows."""
    compared = Comparison(problem, own.predictions, dense)
    bytes_share, speedup = own.metrics["bytes_share"], own.times["speedup_over"][DENSE][BATCH]
    validation = own.metrics["splits"]["validation"]
    validation_drop = compared.drop("validation")
    terms: dict[str, Evidence] = {"max_drop": Drop(contract.max_drop, compared.drop("test"))}
    if own.kind == "recipe":
        terms["min_speedup"] = ProcessTimes(contract.min_speedup, tuple(speedup["process_ratios"][1:]), at_least=True)
        terms["max_size_share"] = Counted(contract.max_size_share, bytes_share)
    if contract.max_latency_ms:
        processes = own.times["batches"][BATCH]["process_medians_ms"]
        terms["max_latency_ms"] = ProcessTimes(contract.max_latency_ms, tuple(processes[1:]), at_least=False)
    if contract.max_bytes:
        terms["max_bytes"] = Counted(contract.max_bytes, own.metrics["bytes"])
    if contract.min_score:
        terms["min_score"] = Floor(contract.min_score, row_values(problem, own.predictions["test"]), problem.higher_is_better)
    if contract.max_class_drop:
        terms["max_class_drop"] = _largest_class_drop(contract.max_class_drop, compared, label_column)
    if contract.max_group_gap:
        terms["max_group_gap"] = LargestGap(contract.max_group_gap, _group_pairs(own.predictions["test"]))
    if contract.max_robustness_drop:
        terms["max_robustness_drop"] = _robustness(contract.max_robustness_drop, own)
    excluded = ""
    if baseline and contract.beats != "none" and baseline.name != own.name:
        against = Comparison(problem, own.predictions, baseline.predictions)
        terms["beats"] = replace(against.not_shown_worse("test"), than=baseline.title)
        if against.not_shown_worse("validation").p_value():
            excluded = f"on validation it is worse than {baseline.name!r}"
    if blockers := own.metrics["splits"]["test"].get("objections", []):
        terms["blockers"] = Blockers(tuple(blockers))
    return Candidate(
        name=own.name,
        kind=own.kind,
        cost=bytes_share / speedup["process_ratios"][0],
        score=(1 if problem.higher_is_better else -1) * validation["scores"][validation["first"]],
        terms=terms,
        validation_drop=validation_drop,
        excluded=excluded or _excluded(contract, own, terms, speedup["process_ratios"][0]),
    )


def best_baseline(problem: Problem, baselines: Mapping[str, Mapping[str, DataFrame]]) -> Reference | None:
    """The baseline with the best first metric on validation; None without baselines."""
    sign = 1 if problem.higher_is_better else -1
    scores = {name: sign * next(iter(problem.metrics(tables["validation"]).values())) for name, tables in baselines.items()}
    if not scores:
        return None
    name = max(scores, key=lambda each: scores[each])
    return Reference(name=name, predictions=baselines[name])


def champion(context: StageContext) -> Reference | None:
    """The champion on the rows of this run; None where the contract names none."""
    if not context.case.contract.champion:
        return None
    title = f"the champion {context.case.contract.champion}"
    return Reference(name=title, predictions=champion_predictions(context), title=title)


def row_values(problem: Problem, predictions: DataFrame) -> Floats:
    """Row values (N,) whose mean is the first metric."""
    return np.asarray(problem.per_row_metric(predictions), np.float64)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model and another one on the same rows, by split."""

    problem: Problem
    own: Mapping[str, DataFrame]
    other: Mapping[str, DataFrame]

    def values(self, split: str) -> tuple[Floats, Floats]:
        """Row values (N,) of the other and of the own model, larger is better."""
        sign = 1.0 if self.problem.higher_is_better else -1.0
        other, own = (sign * row_values(self.problem, tables[split]) for tables in (self.other, self.own))
        return other, own

    def drop(self, split: str) -> PairedDrop:
        """The drop from the other model to the own one."""
        return paired_drop(*self.values(split), self.problem.times(self.own[split]))

    def not_shown_worse(self, split: str) -> NotShownWorse:
        """The evidence that the own model is not shown worse than the other."""
        other, own = self.values(split)
        times = self.problem.times(self.own[split])
        return NotShownWorse(0.0, paired_drop(other, own, times), paired_drop(own, other, times))


def _excluded(contract: Contract, own: Measured, terms: Mapping[str, Evidence], first_ratio: float) -> str:
    """Why a candidate is not worth a try, by what is known before a test row is read; empty if it is worth one."""
    for name in ("max_size_share", "max_bytes"):
        if name in terms and terms[name].p_value():
            return "it has more bytes than allowed"
    if own.kind == "recipe" and first_ratio < contract.min_speedup:
        return f"in the first process it is {first_ratio:.2f} times as fast as dense"
    first_ms = own.times["batches"][BATCH]["process_medians_ms"][0]
    if contract.max_latency_ms and first_ms > contract.max_latency_ms:
        return f"in the first process it takes {first_ms:.3f} ms"
    return ""


def _largest_class_drop(allowed: float, compared: Comparison, label_column: str) -> Evidence:
    labels = compared.own["test"]
    if not label_column or label_column not in labels:
        raise UserError("contract.max_class_drop needs classes, and this use case has none; set it to 0")
    other, own = compared.values("test")
    places = labels.reset_index(drop=True).groupby(label_column).indices.values()
    return LargestDrop(allowed, tuple(paired_drop(other[rows], own[rows]) for rows in places))


def _group_pairs(predictions: DataFrame) -> tuple[tuple[Floats, Floats], ...]:
    """For each attribute all pairs of its groups, as zeros and ones: whether the predicted class is right."""
    if "groups" not in predictions or not {"label", "predicted"} <= set(predictions):
        raise UserError("contract.max_group_gap needs groups, and the rows of this use case have none; set it to 0")
    right = (predictions["label"] == predictions["predicted"]).to_numpy(np.float64)
    members: dict[str, dict[str, list[int]]] = {}
    for place, text in enumerate(predictions["groups"]):
        for part in filter(None, text.split("; ")):
            attribute, _, group = part.partition("=")
            members.setdefault(attribute, {}).setdefault(group, []).append(place)
    pairs = []
    for groups in members.values():
        large = [right[places] for places in groups.values() if len(places) >= MIN_GROUP_ROWS]
        pairs += [(one, other) for number, one in enumerate(large) for other in large[number + 1 :]]
    return tuple(pairs)


def _robustness(allowed: float, own: Measured) -> Evidence:
    mean = own.metrics.get("robustness", {}).get("mean")
    if not mean:
        raise UserError("contract.max_robustness_drop needs corruptions, and this use case has none; set it to 0")
    return Estimated(allowed, mean["drop"]["value"], mean["drop"]["standard_error"])


def read_candidates(context: StageContext, problem: Problem) -> tuple[list[Candidate], int]:
    """All candidates with their evidence, recipes first, then classic baselines; and the number of test rows."""
    names: Sequence[str] = [name for name in context.recipe_names if name != DENSE]
    dense = context.evaluation(DENSE)
    dense_metrics, times = dense.json("metrics.json"), context.timings()["variants"]
    dense_predictions = read_predictions(dense.path / "predictions")
    baselines = {
        folder.name: read_predictions(folder / "predictions")
        for folder in sorted((dense.path / "baselines").glob("*"))
        if (folder / "predictions").is_dir()
    }
    measured = [
        Measured(
            name=name,
            kind="recipe",
            metrics=context.evaluation(name).json("metrics.json"),
            times=times[name],
            predictions=read_predictions(context.evaluation(name).path / "predictions"),
        )
        for name in names
    ]
    measured += [
        Measured(name=name, kind="baseline", metrics=metrics, times=times[name], predictions=baselines[name])
        for name, metrics in dense_metrics.get("classic", {}).items()
    ]
    contract, label_column = context.case.contract, problem.label_column
    best = (champion(context) if contract.beats == "champion" else None) or best_baseline(problem, baselines)
    candidates = [assess(each, dense_predictions, best, problem, contract, label_column) for each in measured]
    return candidates, len(dense_predictions["test"])
