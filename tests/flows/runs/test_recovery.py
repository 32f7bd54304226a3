"""Recovery after a kill: dead runs are marked, their checkpoints saved, and files that DVC left truncated repaired."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runs import recovery, run_record
from flows.system import os_processes
from tests.support.executed_runs import toy_request

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


def test_a_dead_run_is_marked_crashed_and_its_checkpoints_are_saved(toy: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    run = run_record.create(toy, toy_request(toy), trigger="test")
    run.update(process={**os_processes.identity(), "pid": int(dead.stdout), "started": "1"}, state="Running")
    run.update_stage("train@toy", state="Running", key="abc")
    scratch = run.folder / ".bonsai" / "scratch" / "train@toy"
    scratch.mkdir(parents=True)
    (scratch / "checkpoint").write_text("half done")
    (scratch / f".checkpoint.{dead.stdout.strip()}.partial").write_text("cut o")
    assert run_record.state(run_record.find(toy, run.id)) == "Crashed"
    assert recovery.recover(toy) == [f"the process of run {run.id} had died; it is now Crashed"]
    assert run_record.find(toy, run.id).record["stages"]["train@toy"]["state"] == "Crashed"
    assert recovery.recover(toy) == []
    assert not recovery.restore_checkpoints(toy, toy / "runs" / "next", "train@toy", "def")
    assert recovery.restore_checkpoints(toy, toy / "runs" / "next", "train@toy", "abc")
    assert (toy / "runs" / "next" / ".bonsai" / "scratch" / "train@toy" / "checkpoint").read_text() == "half done"
    assert not list(toy.rglob("*.partial")), "what the killed stage was writing is not kept"


@pytest.mark.parametrize(
    "left",
    [
        "",
        '{"read": {"/a": [{"pid"',
        '{"write": {"/a": {"pid": 999999, "cmd": "dvc repro"}}}',
        '{"read": {"/a": [{"pid": 1, "cmd": "dvc"}]}}',
    ],
)
def test_dead_holders_are_removed_from_dvcs_rwlock(toy: Path, left: str) -> None:
    rwlock = toy / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text(left)
    os.utime(rwlock, (1, 1))  # as old as can be: whoever has that number now came later
    assert len(list(recovery.repair_dvc_files(toy))) == 1
    assert not rwlock.exists() or json.loads(rwlock.read_text()) == {"write": {}, "read": {}}


def test_a_live_holder_of_the_rwlock_is_kept(toy: Path) -> None:
    rwlock = toy / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    mine = {"pid": os.getpid(), "cmd": "dvc repro"}
    rwlock.write_text(json.dumps({"write": {"/a": mine, "/b": {"pid": 999999, "cmd": "dvc repro"}}, "read": {}}))
    assert list(recovery.repair_dvc_files(toy))
    assert json.loads(rwlock.read_text())["write"] == {"/a": mine}


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n  fetch@toy:\n    cmd: [", "<<<<<<< HEAD\nschema: '2.0'\n"])
def test_a_truncated_lock_file_is_set_aside(toy: Path, left: str) -> None:
    (toy / "dvc.lock").write_text(left)
    assert len(list(recovery.repair_dvc_files(toy))) == 1
    assert not (toy / "dvc.lock").exists()
    assert next(toy.glob("dvc.lock.broken-*")).read_text() == left
    assert list(recovery.repair_dvc_files(toy)) == []


def test_a_truncated_lock_file_is_restored_from_the_last_commit(toy: Path) -> None:
    good = "schema: '2.0'\nstages: {}\n"
    (toy / "dvc.lock").write_text(good)
    git = ["git", "-C", str(toy), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "Keep"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    (toy / "dvc.lock").write_text("")
    assert list(recovery.repair_dvc_files(toy))
    assert (toy / "dvc.lock").read_text() == good


def test_partial_artifacts_of_dead_writers_are_removed_and_those_of_live_ones_kept(toy: Path) -> None:
    data = toy / "data" / "toy"
    for name in (".raw.999999.partial", f".clean.{os.getpid()}.partial"):
        (data / name).mkdir(parents=True)
    recovery.recover(toy)
    assert [path.name for path in data.iterdir()] == [f".clean.{os.getpid()}.partial"]
