"""A run is pushed to a DVC remote and pulled into another clone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.maintenance import remote
from tests.support.executed_runs import (
    COMMENTED_PARAMS,
    adopt_copy,
    both_runs,
    commit_params,
    execute_run,
    is_up_to_date,
    model_sum,
)
from tests.support.toy_project import build_project


def test_a_run_made_in_one_clone_is_restored_in_another(
    project: Path, executed_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any
) -> None:
    second = both_runs(project)[1]
    where = tmp_path / "remote"
    for folder in (project, build_project(tmp_path / "other", COMMENTED_PARAMS)):
        with (folder / ".dvc" / "config").open("a") as config:
            config.write(f"['remote \"store\"']\n    url = {where}\n")
    code, _, err = bonsai("push", second.id)
    assert (code, err.count("\n")) == (2, 1)
    assert "dvc remote default" in err
    assert f"pushed {second.id}" in bonsai("push", second.id, "-r", "store")[1]
    other = adopt_copy(tmp_path / "other", executed_project, monkeypatch)
    commit_params(other)
    assert bonsai("pull", "-r", "store")[1].split() == [second.id]
    assert "has no run 'nothing'" in bonsai("pull", "nothing", "-r", "store")[2]
    assert f"pulled {second.id}" in bonsai("pull", second.id, "-r", "store")[1]
    assert bonsai("runs")[1].count(second.id) == 1
    assert bonsai("restore", second.id)[0] == 0
    assert is_up_to_date(other)
    assert model_sum(other) == json.loads((second.folder / "data" / "toy" / "model" / "model.json").read_text())["sum"]
    assert remote.pull(other, second.id, "store")[1] == 0


def test_dvcs_own_push_works_in_a_runs_folder(project: Path, tmp_path: Path) -> None:
    config = project / ".dvc" / "config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    remote = store\n"))
    with config.open("a") as file:
        file.write(f"['remote \"store\"']\n    url = {tmp_path / 'remote'}\n")
    run = execute_run(project, overrides={"model.width": 5})
    done = subprocess.run([sys.executable, "-m", "dvc", "push"], cwd=run.folder, capture_output=True, text=True, check=True)
    assert "pushed" in done.stdout
