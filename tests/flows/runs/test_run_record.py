"""A run has a record from its first moment, and is found by its id only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.runs import run_record
from flows.system import os_processes
from tasks.core.errors import UserError
from tests.support.executed_runs import toy_request

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


def test_a_run_is_recorded_from_the_first_moment(toy: Path) -> None:
    run = run_record.create(toy, toy_request(toy), trigger="test")
    record = json.loads((run.folder / "run.json").read_text())
    assert record["state"] == "Pending"
    assert record["asked"]["how"] == "test"
    assert os_processes.is_alive(record["process"])
    assert [each.id for each in run_record.active_runs(toy)] == [run.id]
    run.update(state="Completed")
    assert list(run_record.active_runs(toy)) == []
    assert run_record.find(toy, run.id).record["state"] == "Completed"


@pytest.mark.parametrize("name", ["../toy", "/etc", ".", "", "nothing"])
def test_a_run_is_found_by_id_only(toy: Path, name: str) -> None:
    with pytest.raises(UserError, match="no run"):
        run_record.find(toy, name)
