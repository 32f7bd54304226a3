"""What corrected labels gain: a run beside an earlier one that differs in nothing else, on rows that nobody decided on."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.analysis import run_differences
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_records import Run
from tasks.cleaning.corrections import Place
from tasks.core.compression import DENSE
from tasks.evaluation import statistics
from tasks.evaluation.statistics import Interval

SEARCHED = 30
"""Earlier runs among which the one to compare with is looked for."""
CORRECTION_SETTINGS = ("clean.corrections", "clean.fingerprint")


@dataclass(frozen=True, slots=True)
class CorrectionGain:
    """The accuracy of the dense network on the same test rows without and with the corrections."""

    before: Run
    accuracy_before: float
    accuracy_after: float
    gain: Interval
    """Accuracy after minus before, paired by row."""


def of_run(run: Run, use_case: str, decided: Collection[Place]) -> CorrectionGain | None:
    """The gain of the corrections that the run applied and an otherwise equal earlier run did not; None without such a run.

    It is measured on rows that are test rows in both runs and that no decision touched: a corrected label may have been chosen
    by looking at an answer, so it cannot decide between the two networks.
    """
    settings = run_differences.parameters(run, use_case)
    if not settings.get(CORRECTION_SETTINGS[0]):
        return None
    for other in run_records.latest(run.root, use_case, SEARCHED):
        if other.id >= run.id or other.state != "completed":
            continue
        with suppress(Unreadable):
            theirs = run_differences.parameters(other, use_case)
            if theirs.get(CORRECTION_SETTINGS[1]) == settings.get(CORRECTION_SETTINGS[1]) or _others(theirs) != _others(settings):
                continue
            return _compare(run, other, use_case, decided)
    return None


def _others(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings besides those of corrections."""
    return {name: value for name, value in settings.items() if name not in CORRECTION_SETTINGS}


def _compare(run: Run, before: Run, use_case: str, decided: Collection[Place]) -> CorrectionGain | None:
    columns = ("file", "row", "label", "predicted")
    frames = [
        Artifacts(each.root, each.folder, use_case).predictions(DENSE, "test", columns)[list(columns)] for each in (before, run)
    ]
    both = frames[0].merge(frames[1], on=["file", "row"], suffixes=("_before", "_after"))
    undecided = [
        (str(file), int(row)) not in decided and str(first) == str(second)
        for file, row, first, second in zip(both["file"], both["row"], both["label_before"], both["label_after"], strict=True)
    ]
    both = both[undecided]
    if both.empty:
        return None
    right = [
        (both[f"predicted_{side}"].astype(str) == both["label_after"].astype(str)).to_numpy() for side in ("before", "after")
    ]
    right_before, right_after = (np.asarray(each, np.float64) for each in right)
    gain = statistics.paired_drop(right_after, right_before)
    return CorrectionGain(before, float(right_before.mean()), float(right_after.mean()), gain)
