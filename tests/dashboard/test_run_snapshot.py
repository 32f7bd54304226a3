"""What the run page reads of a run, and that it reads it once per refresh."""

import json
from pathlib import Path
from typing import Any

import pytest

from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_snapshot import RunSnapshot
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page

pytestmark = PAGE_MARKS


@pytest.fixture
def root(tmp_path: Path) -> Any:
    return recorded_runs.project(tmp_path / "project")


def test_a_snapshot_holds_the_stages_of_its_use_case_and_of_the_others(root: Any) -> None:
    folder = recorded_runs.run(root, "Running")
    record = json.loads((folder / "run.json").read_text())
    others = {name.replace("@vision", "@credit"): entry for name, entry in record["stages"].items()}
    record |= {"use_cases": ["vision", "credit"], "stages": {**record["stages"], **others}}
    (folder / "run.json").write_text(json.dumps(record))
    snapshot = RunSnapshot.read(root, folder.name, "vision")
    assert snapshot.is_working
    assert not snapshot.is_workspace
    assert (snapshot.progress.done, snapshot.progress.total) == (3, 12)
    assert {run_records.stage_parts(name)[1] for name in snapshot.stages} == {"vision"}
    assert list(snapshot.other_use_cases) == ["credit"]
    assert {run_records.stage_parts(name)[1] for name in snapshot.other_use_cases["credit"]} == {"credit"}


def test_a_finished_run_is_not_working_and_has_its_curves(root: Any) -> None:
    folder = recorded_runs.finished(root)
    snapshot = RunSnapshot.read(root, folder.name, "vision")
    assert not snapshot.is_working
    assert "train@vision" in snapshot.curves
    assert snapshot.progress.seconds_left is None


def test_a_snapshot_of_a_run_that_is_not_there_is_unreadable(root: Any) -> None:
    with pytest.raises(Unreadable):
        RunSnapshot.read(root, "20260101-000000-vision-0000", "vision")


def test_the_workspace_has_stages_but_no_record(root: Any) -> None:
    snapshot = RunSnapshot.read(root, run_records.WORKSPACE, "vision")
    assert snapshot.is_workspace
    assert not snapshot.is_working
    assert {run_records.stage_parts(name)[1] for name in snapshot.stages} == {"vision"}


def test_the_run_page_reads_a_run_once_per_refresh(monkeypatch: pytest.MonkeyPatch, root: Any) -> None:
    folder = recorded_runs.finished(root)
    snapshots = []
    read = RunSnapshot.read
    monkeypatch.setattr(RunSnapshot, "read", lambda *about: snapshots.append(about) or read(*about))
    app = open_page(monkeypatch, root, "run")
    assert snapshots == [(root, folder.name, "vision")]
    app.run()
    assert len(snapshots) == 2
    assert not app.exception
