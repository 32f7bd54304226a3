"""What a run came to for one use case: its verdict, its model beside the best baseline, and what differs from the run before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dashboard.analysis import run_differences
from dashboard.readers.artifact_models import Gain, Interval, Metrics, Row
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, verdicts
from dashboard.readers.runs.run_records import Run
from dashboard.readers.runs.sample_run import SAMPLE
from flows.reporting.verdicts import Verdict
from tasks.core.compression import DENSE

SEARCHED = 30
"""Runs among which the one before is looked for."""
TABLE = "release/table.json"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The metric of a simpler model on the same rows."""

    name: str
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one use case of a run."""

    verdict: Verdict
    row: Row
    """The figures of the released model, or of the dense one where nothing was released."""
    baseline: Baseline | None
    gain: Gain | None
    """The gain of the dense network over the best baseline, paired by row."""
    previous: Run | None
    """The newest earlier run with results."""
    previous_row: Row | None
    changed: dict[str, tuple[Any, Any]]
    """The parameters that differ from the previous run: their values then and now."""


def of_run(run: Run, use_case: str, *, higher: bool) -> Outcome | None:
    """The outcome of an ended run; None where it has no results table or no verdict."""
    artifacts = Artifacts(run.root, run.folder, use_case)
    try:
        verdict, row = verdicts.of_folder(artifacts, run), _shown_row(artifacts)
    except Unreadable:
        return None
    if not verdict.word:
        return None
    baseline, gain = None, None
    with suppress(Unreadable):  # the Results page reports it
        dense = artifacts.metrics(DENSE)
        baseline = best_baseline(dense, "test", row.metric, higher=higher)
        gain = dense.gains("test").get(baseline.name) if baseline else None
    before = previous_run(run, use_case)
    previous_row, changed = None, {}
    if before:
        with suppress(Unreadable):
            previous_row = _shown_row(Artifacts(before.root, before.folder, use_case))
            changed = _changed(run_differences.parameters(before, use_case), run_differences.parameters(run, use_case))
    return Outcome(verdict, row, baseline, gain, before, previous_row, changed)


def best_baseline(metrics: Metrics, split: str, first: str, *, higher: bool) -> Baseline | None:
    """The best of the trivial and classic baselines, which only the dense model's metrics contain; None without any."""
    baselines = [
        Baseline(name, value, baseline[split].interval)
        for name, baseline in metrics.baselines.items()
        if split in baseline and (value := baseline[split].scores.get(first)) is not None
    ]
    return (max if higher else min)(baselines, key=lambda baseline: baseline.value, default=None)


def previous_run(run: Run, use_case: str) -> Run | None:
    """The newest run before this one with a results table of the use case."""
    if run.id in (run_records.WORKSPACE, SAMPLE):
        return None
    earlier = [other for other in run_records.latest(run.root, use_case, SEARCHED) if other.id < run.id]
    return run_records.newest_with(earlier, use_case, TABLE)


def _shown_row(artifacts: Artifacts) -> Row:
    """The row of the released model, or of the dense one."""
    rows = artifacts.table().rows
    chosen = next((row for row in rows if row.chosen), None)
    return chosen or next((row for row in rows if row.recipe == DENSE), rows[0])


def _changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = list(dict.fromkeys([*before, *now]))
    return {
        name: (before.get(name), now.get(name))
        for name in names
        if before.get(name) != now.get(name) and not name.endswith(".fingerprint")
    }
