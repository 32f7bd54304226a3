"""Drift of what released models are asked: after how many requests five planted changes are found, and false alarms in 30 days.

Needs releases of vision, nlp, finance and credit in the project's data folder; those that are not there are left out.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import record
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage.artifacts import Artifact, Table
from tasks.inference.released_model import ReleasedModel, load_release
from tasks.monitoring.drift import DriftTest
from tasks.monitoring.reference import build_reference
from tests.support import planted_drifts

BEFORE = 3000
"""Requests without a change before the planted one."""
REPEATS = 5
DAYS, REQUESTS_A_DAY, QUIET_REPEATS = 30, 2000, 2


def main() -> None:
    """Simulate requests by drawing clean rows that the models were not trained on, with replacement."""
    root = Path.cwd()
    rows = []
    names = ("vision", "nlp", "credit", "finance")
    for name in [name for name in names if (root / "data" / name / "release" / "model.onnx").exists()]:
        model = load_release(root / "data" / name / "release", project=root)
        population = held_out(root, name)
        rows += [time_to_alarm(model, population, drift) for drift in planted_drifts.DRIFTS if drift.use_case == name]
        rows.append(quiet(model, population))
        print(rows[-2:], flush=True)
    alarms = sum(row["false_alarms"] for row in rows if row["what"] == f"{DAYS} days without a change")
    days = sum(row["repeats"] for row in rows if row["what"] == f"{DAYS} days without a change") * DAYS
    words = (
        f"Alarms at alpha {planted_drifts.ALPHA:g}, which bounds the probability of any false alarm of a version. Changes begin "
        f"after {BEFORE:,} requests without one; {alarms} false alarms in {days:,} simulated days of {REQUESTS_A_DAY:,} requests."
    )
    record.write("drift", words, rows)


def held_out(root: Path, name: str) -> pd.DataFrame:
    rows = Table(Artifact(root / "data" / name / "clean").open() / "rows").read()
    return rows[rows["split"].isin(EVALUATION_SPLITS)].reset_index(drop=True)


def drawn(rows: pd.DataFrame, count: int, generator: np.random.Generator) -> pd.DataFrame:
    return rows.iloc[generator.integers(0, len(rows), count)].reset_index(drop=True)


def time_to_alarm(model: ReleasedModel, population: pd.DataFrame, drift: planted_drifts.Drift) -> dict[str, Any]:
    """After how many requests a change is found, over repeats."""
    counts, by = list[int | None](), list[str]()
    for repeat in range(REPEATS):
        generator = np.random.default_rng([7, repeat])
        reference = build_reference(model, "simulated", drawn(population, 3000, generator), seed=repeat)
        statistics = planted_drifts.statistics_of(model, population, reference)
        test = DriftTest.start(reference.cells, repeat)
        test.update(drawn(statistics, BEFORE, generator))
        changed = drift.change(drawn(population, planted_drifts.REQUESTS, generator), generator, model)
        count, name = planted_drifts.requests_until_found(test, planted_drifts.statistics_of(model, changed, reference))
        counts.append(count)
        by.append(name)
    hits = [count for count in counts if count is not None]
    return {
        "use_case": drift.use_case,
        "what": drift.name,
        "repeats": REPEATS,
        "found_within_500": len(hits),
        "median_requests": float(np.median(hits)) if hits else None,
        "most_requests": max(hits, default=None),
        "first_statistic": max(set(by), key=by.count),
        "false_alarms": None,
        "cpu_us_per_request": None,
    }


def quiet(model: ReleasedModel, population: pd.DataFrame) -> dict[str, Any]:
    """False alarms while nothing changes: requests and reference are draws from the same rows."""
    alarms, seconds, requests = 0, 0.0, 0
    for repeat in range(QUIET_REPEATS):
        generator = np.random.default_rng([11, repeat])
        reference = build_reference(model, "simulated", drawn(population, 3000, generator), seed=repeat)
        statistics = planted_drifts.statistics_of(model, population, reference)
        test = DriftTest.start(reference.cells, repeat)
        for _ in range(DAYS):
            day = drawn(statistics, REQUESTS_A_DAY, generator)
            began = time.process_time()
            test.update(day)
            seconds += time.process_time() - began
            requests += len(day)
        alarms += bool((test.highest >= test.threshold(planted_drifts.ALPHA)).any())
    return {
        "use_case": model.case.name,
        "what": f"{DAYS} days without a change",
        "repeats": QUIET_REPEATS,
        "found_within_500": None,
        "median_requests": None,
        "most_requests": None,
        "first_statistic": f"{len(test.names)} statistics",
        "false_alarms": alarms,
        "cpu_us_per_request": round(1e6 * seconds / requests, 1),
    }


if __name__ == "__main__":
    main()
