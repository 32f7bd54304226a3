"""Five changes of what a model is asked are found within 500 requests, by models and rows of each use case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage.artifacts import Table
from tasks.monitoring.drift import DriftTest
from tasks.monitoring.reference import Reference, build_reference
from tests.support import dashboard_scenarios, planted_drifts, recorded_runs
from tests.tasks.inference.test_released_model import release

SEED = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = recorded_runs.project(tmp_path_factory.mktemp("drifts") / "p")
    return {
        name: recorded_runs.finished(root, number=number, use_case=name)
        for number, name in enumerate(dashboard_scenarios.names())
    }


@pytest.mark.parametrize("drift", planted_drifts.DRIFTS, ids=lambda drift: drift.name.replace(" ", "-"))
def test_a_planted_drift_is_found_within_500_requests_and_none_before(
    drift: planted_drifts.Drift, runs: dict[str, Path], tmp_path: Path
) -> None:
    model = release(runs, drift.use_case, tmp_path)
    rows = Table(runs[drift.use_case] / "data" / drift.use_case / "clean" / "rows").read()
    rows = rows[rows["split"].isin(EVALUATION_SPLITS)].reset_index(drop=True)
    generator = np.random.default_rng(SEED)

    def drawn(count: int):  # type: ignore[no-untyped-def]
        return rows.iloc[generator.integers(0, len(rows), count)].reset_index(drop=True)

    reference = build_reference(model, "toy@1", drawn(900))
    assert Reference.from_json(reference.as_json()).as_json() == reference.as_json()
    test = DriftTest.start(reference.cells)
    before = planted_drifts.requests_until_found(test, planted_drifts.statistics_of(model, drawn(500), reference))
    assert before == (None, "")
    changed = drift.change(drawn(planted_drifts.REQUESTS), generator, model)
    count, name = planted_drifts.requests_until_found(test, planted_drifts.statistics_of(model, changed, reference))
    assert count is not None, drift.name
    assert name
