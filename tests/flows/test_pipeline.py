"""The flow with real DVC and real Prefect: same bytes as `dvc repro`, no stage run twice, no process left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest
import yaml

from flows.services.prefect_server import PrefectServer
from tests.support.toy_project import REPOSITORY, build_project

Env = dict[str, str]
"""Environment variables that select a Prefect server; empty for none."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The environment variables of one Prefect server for all tests."""
    with patch.dict(os.environ):
        running = PrefectServer(tmp_path_factory.mktemp("prefect"))
    try:
        running.wait_until_healthy()
        yield {"PREFECT_API_URL": running.api_url, "PREFECT_API_AUTH_STRING": running.password}
    finally:
        running.stop()


@pytest.fixture(scope="session")
def executed_toy(server: Env, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after its first run."""
    toy = build_project(tmp_path_factory.mktemp("executed") / "toy")
    bonsai(toy, "run", server=server)
    return toy


@pytest.fixture
def toy(executed_toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy project as the first run left it, without that run's folder."""
    ignored = shutil.ignore_patterns("runs", ".bonsai", ".prefect", "tmp", "__pycache__")
    return Path(shutil.copytree(executed_toy, tmp_path / "toy", ignore=ignored))


def environment(toy: Path, server: Env) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    here = {"PYTHONPATH": os.pathsep.join([str(toy), str(REPOSITORY)]), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **here, "OMP_NUM_THREADS": "1", **server}


def start(toy: Path, *arguments: str, server: Env) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.cli.main", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=toy, env=environment(toy, server), stdout=pipe, stderr=subprocess.STDOUT, text=True)


def bonsai(toy: Path, *arguments: str, server: Env, code: int = 0) -> str:
    process = start(toy, *arguments, server=server)
    output, _ = process.communicate(timeout=250)
    assert process.returncode == code, output
    return output


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, {}), capture_output=True, text=True, check=True, timeout=250
    )
    return done.stdout + done.stderr


def run_folders(toy: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    return sorted((toy / "runs").iterdir())


def records(toy: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / "run.json").read_text()) for folder in run_folders(toy)]


def states(record: dict[str, Any]) -> dict[str, str]:
    return {name: entry["state"] for name, entry in record["stages"].items()}


def output_hashes(folder: Path) -> dict[str, list[str]]:
    """The output hashes in dvc.lock of every stage whose outputs hold no measured times."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        name: [out["md5"] for out in entry["outs"]]
        for name, entry in stages.items()
        if not name.startswith(("evaluate", "release"))
    }


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"did not happen in {seconds} s")


@contextmanager
def slow_run(toy: Path, server: Env, *more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """(a run that trains slowly, the number of its training process)."""
    process = start(toy, "run", "toy", "--set", "model.pause_s=0.7", *more, server=server)
    try:

        def trains() -> int:
            assert process.poll() is None, process.communicate()[0]
            for event_log in toy.glob("runs/*/journal/train@toy.jsonl"):
                events = [json.loads(line) for line in event_log.read_text().splitlines() if line.endswith("}")]
                if sum(event["event"] == "metric" for event in events) >= 2:
                    return int(events[0]["pid"])
            return 0

        yield process, wait_for(trains, 120)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_run_executes_every_stage_and_is_published_in_the_project(executed_toy: Path) -> None:
    record = records(executed_toy)[0]
    assert record["state"] == "Completed"
    assert set(states(record).values()) == {"Completed"}
    assert record["reflected"]
    assert record["results"]["toy"]["verdict"]["released"] == "quarter"
    assert "up to date" in dvc(executed_toy, "status")
    assert "up to date" in dvc(executed_toy, "repro")


def test_a_second_run_finds_every_stage_unchanged_and_shows_the_table(toy: Path, server: Env) -> None:
    output = bonsai(toy, "run", "toy", server=server)
    assert set(states(records(toy)[0]).values()) == {"Unchanged"}
    assert "released 'quarter'" in output
    assert "up to date" in dvc(toy, "status")


@pytest.mark.slow
def test_dvc_repro_and_the_flow_give_the_same_bytes(executed_toy: Path, tmp_path: Path, server: Env) -> None:
    other = build_project(tmp_path / "toy")
    dvc(other, "repro")
    assert output_hashes(other) == output_hashes(executed_toy)
    bonsai(other, "run", server=server)
    assert set(states(records(other)[0]).values()) == {"Unchanged"}


def test_a_changed_parameter_runs_only_its_own_branch(toy: Path, server: Env) -> None:
    bonsai(toy, "run", "toy", "--set", "recipes.half.0.halve.times=3", server=server)
    record = records(toy)[0]
    executed = {name for name, state in states(record).items() if state == "Completed"}
    assert executed == {"compress@toy-half", "evaluate@toy-half", "release@toy"}
    assert [reason["kind"] for reason in record["stages"]["compress@toy-half"]["reasons"]] == ["params"]
    assert "up to date" in dvc(toy, "status"), "overrides are the run's own"
    assert "up to date" in dvc(run_folders(toy)[0], "repro")


@pytest.mark.slow
def test_edited_code_runs_only_the_stages_it_affects(toy: Path, server: Env) -> None:
    with (toy / "tasks" / "use_cases" / "twin" / "use_case.py").open("a") as file:
        file.write("# edited\n")
    bonsai(toy, "run", server=server)
    changed = {name for name, state in states(records(toy)[0]).items() if state == "Completed"}
    assert changed == {"fetch@twin", "clean@twin", "augment@twin", "train@twin"}, "equal bytes cut the rest off early"
    assert "up to date" in dvc(toy, "status")


def test_a_failed_stage_reports_its_error_and_blocks_only_downstream_stages(toy: Path, server: Env) -> None:
    output = bonsai(
        toy, "run", "--set", "use_cases.toy.model.flaw=error", "--set", "use_cases.twin.model.width=5", server=server, code=1
    )
    record = records(toy)[0]
    stage_states = states(record)
    assert stage_states["train@toy"] == "Failed"
    assert stage_states["release@toy"] == stage_states["compress@toy-dense"] == "NotRun"
    assert stage_states["release@twin"] == "Completed"
    assert record["stages"]["train@toy"]["attempt"] == 2, "dvc.yaml gives it one retry"
    assert "RuntimeError: the sum does not add up" in output
    assert "Traceback" not in output
    assert "Traceback" in record["stages"]["train@toy"]["details"]
    assert not (run_folders(toy)[0] / "data" / "toy" / "model").exists()


@pytest.mark.slow
def test_a_user_error_is_not_retried(toy: Path, server: Env) -> None:
    output = bonsai(toy, "run", "toy", "--set", "model.flaw=mistake", server=server, code=1)
    assert records(toy)[0]["stages"]["train@toy"]["attempt"] == 1
    assert "train@toy: model.flaw is 'mistake'; take it out" in output


def test_a_killed_flow_ends_its_stage_and_the_next_run_resumes(toy: Path, server: Env) -> None:
    undisturbed = output_hashes(toy)
    with slow_run(toy, server) as (flow, stage):
        flow.kill()
        flow.wait()
        wait_for(lambda: gone(stage), 20)
    output = bonsai(toy, "run", "toy", "--set", "model.pause_s=0.7", server=server)
    crashed, done = records(toy)
    assert crashed["state"] == "Crashed"
    assert states(crashed)["train@toy"] == "Crashed"
    assert done["state"] == "Completed"
    assert "went on from epoch" in output
    newest = run_folders(toy)[-1]
    assert {name: md5 for name, md5 in undisturbed.items() if "@toy" in name} == {
        name: md5 for name, md5 in output_hashes(newest).items() if "@toy" in name
    }


@pytest.mark.slow
def test_a_killed_stage_is_retried_from_its_checkpoint(toy: Path, server: Env) -> None:
    with slow_run(toy, server) as (flow, stage):
        os.kill(stage, signal.SIGKILL)
        output, _ = flow.communicate(timeout=120)
    assert flow.returncode == 0, output
    assert "went on from epoch" in output
    assert records(toy)[0]["stages"]["train@toy"]["attempt"] == 2


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_stopping_a_run_ends_its_stage_and_leaves_nothing_half_written(
    toy: Path, server: Env, stop_signal: signal.Signals
) -> None:
    with slow_run(toy, server) as (flow, stage):
        flow.send_signal(stop_signal)
        wait_for(lambda: gone(stage), 10)
        assert flow.wait(90) == 130
    record = records(toy)[0]
    assert record["state"] == "Cancelled"
    assert states(record)["train@toy"] == "Cancelled"
    assert states(record)["release@toy"] == "NotRun"
    assert not list(toy.glob("runs/*/data/**/.*.partial"))
    assert "goes on from where" in bonsai(toy, "run", "toy", "--set", "model.pause_s=0.7", server=server)


@pytest.mark.slow
def test_changed_content_of_the_users_own_data_is_noticed(toy: Path, server: Env) -> None:
    (toy / "own.json").write_text("[2, 4, 6]")
    for expected in ("Completed", "Unchanged"):
        bonsai(toy, "run", "toy", "--set", "fetch.path=own.json", server=server)
        assert states(records(toy)[-1])["fetch@toy"] == expected
    bonsai(toy, "run", "toy", server=server)
    bonsai(toy, "run", "toy", "--set", "fetch.path=own.json", server=server)
    assert set(states(records(toy)[-1]).values()) == {"Unchanged"}, "what ran in between does not matter"
    (toy / "own.json").write_text("[2, 4, 8]")
    bonsai(toy, "run", "toy", "--set", "fetch.path=own.json", server=server)
    assert states(records(toy)[-1])["fetch@toy"] == "Completed"


@pytest.mark.slow
def test_runs_with_different_overrides_run_concurrently_and_share_equal_stages(toy: Path, server: Env) -> None:
    flows = [start(toy, "run", "toy", "--set", f"model.width={width}", server=server) for width in (5, 6, 5)]
    for flow in flows:
        output, _ = flow.communicate(timeout=250)
        assert flow.returncode == 0, output
        assert "released 'quarter'" in output
    trained = [states(record)["train@toy"] for record in records(toy)]
    assert trained == ["Completed", "Completed"], "the two equal requests are one run"
    bonsai(toy, "run", "toy", "--set", "model.width=5", server=server)
    assert not {"Completed", "Failed"} & set(states(records(toy)[-1]).values()), "the outputs of the first one are restored"
    for folder in run_folders(toy):
        assert "up to date" in dvc(folder, "repro")


@pytest.mark.slow
def test_without_a_server_a_run_starts_its_own_and_leaves_no_process_however_it_ends(toy: Path) -> None:
    with slow_run(toy, {}) as (flow, _):
        children = [child.pid for child in psutil.Process(flow.pid).children(recursive=True)]
        assert len(children) >= 2, "the server and the stage"
        flow.kill()
        flow.wait()
        wait_for(lambda: all(map(gone, children)), 20)
    process = start(toy, "run", "toy", server={})
    children = wait_for(lambda: [child.pid for child in psutil.Process(process.pid).children(recursive=True)], 30)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert "starting one for this run" in output
    assert set(states(records(toy)[1]).values()) == {"Unchanged"}
    assert all(map(gone, children))


@pytest.mark.slow
def test_an_output_changed_by_hand_is_not_overwritten(toy: Path, server: Env) -> None:
    target = toy / "data" / "toy" / "clean" / "rows" / "part-00000.json"
    target.unlink()
    target.write_text("[1, 2, 3]")
    output = bonsai(toy, "run", "toy", server=server)
    assert "clean@toy: data/toy/clean changed by hand" in output
    assert target.read_text() == "[1, 2, 3]"
    assert not records(toy)[0]["reflected"]
