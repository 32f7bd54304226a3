"""The flow that watches: every use case with a log is looked at, and one that cannot be does not keep the others from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows.monitor import monitor
from flows.monitoring import one_pass, references
from tasks.core.errors import UserError
from tests.support import recorded_requests, recorded_runs


def test_each_use_case_with_a_log_is_looked_at_and_a_failure_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with disable_run_logger():
        assert monitor.fn() == {}
        folder = recorded_requests.project_with_champion(root)
        references.ensure_reference(root, "vision", "vision@1")
        rows = recorded_requests.held_out(folder)
        recorded_requests.ask(root, [recorded_requests.inverted(each) for each in recorded_requests.drawn(rows, 80)])
        assert monitor.fn()["vision"] >= 1
        (root / "monitoring/nlp/requests").mkdir(parents=True)
        (root / "monitoring/vision/state.json").write_text("{")
        with pytest.raises(UserError, match="vision could not be looked at"):
            monitor.fn()
    reports = {name: one_pass.read_report(root, name) or {} for name in ("vision", "nlp")}
    assert reports["vision"]["requests"] == 80
    assert "neither a champion nor a release" in reports["nlp"]["reference"]["missing"]
