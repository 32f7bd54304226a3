"""The flow with real DVC and real Prefect: same bytes as `dvc repro`, no stage run twice, no process left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.bonsai_process import (
    Env,
    has_ended,
    output_hashes,
    read_records,
    run_bonsai,
    run_dvc,
    run_folders,
    stage_states,
    start_bonsai,
    wait_for,
    wait_until_ended,
)
from tests.support.toy_project import build_project


@pytest.fixture
def toy(executed_toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy project as the first run left it, without that run's folder."""
    ignored = shutil.ignore_patterns("runs", ".bonsai", ".prefect", "tmp", "__pycache__")
    return Path(shutil.copytree(executed_toy, tmp_path / "toy", ignore=ignored))


@contextmanager
def slow_run(toy: Path, server: Env, *more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """(a run that trains slowly, the number of its training process)."""
    process = start_bonsai(toy, "run", "toy", "--set", "model.pause_s=0.7", *more, server=server)
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


def test_a_run_executes_every_stage_and_is_published_in_the_project(executed_toy: Path) -> None:
    record = read_records(executed_toy)[0]
    assert record["state"] == "Completed"
    assert set(stage_states(record).values()) == {"Completed"}
    assert record["reflected"]
    assert record["results"]["toy"]["verdict"]["released"] == "quarter"
    assert "up to date" in run_dvc(executed_toy, "status")
    assert "up to date" in run_dvc(executed_toy, "repro")


def test_a_second_run_finds_every_stage_unchanged_and_shows_the_table(toy: Path, server: Env) -> None:
    output = run_bonsai(toy, "run", "toy", server=server)
    assert set(stage_states(read_records(toy)[0]).values()) == {"Unchanged"}
    assert "released 'quarter'" in output
    assert "up to date" in run_dvc(toy, "status")


@pytest.mark.slow
def test_dvc_repro_and_the_flow_give_the_same_bytes(executed_toy: Path, tmp_path: Path, server: Env) -> None:
    other = build_project(tmp_path / "toy")
    run_dvc(other, "repro")
    assert output_hashes(other) == output_hashes(executed_toy)
    run_bonsai(other, "run", server=server)
    assert set(stage_states(read_records(other)[0]).values()) == {"Unchanged"}


def test_a_changed_parameter_runs_only_its_own_branch(toy: Path, server: Env) -> None:
    run_bonsai(toy, "run", "toy", "--set", "recipes.half.0.halve.times=3", server=server)
    record = read_records(toy)[0]
    executed = {name for name, state in stage_states(record).items() if state == "Completed"}
    assert executed == {"compress@toy-half", "evaluate@toy-half", "latency@toy", "release@toy"}
    assert [reason["kind"] for reason in record["stages"]["compress@toy-half"]["reasons"]] == ["params"]
    assert "up to date" in run_dvc(toy, "status"), "overrides are the run's own"
    assert "up to date" in run_dvc(run_folders(toy)[0], "repro")


@pytest.mark.slow
def test_edited_code_runs_only_the_stages_it_affects(toy: Path, server: Env) -> None:
    with (toy / "tasks" / "use_cases" / "twin" / "use_case.py").open("a") as file:
        file.write("# edited\n")
    run_bonsai(toy, "run", server=server)
    changed = {name for name, state in stage_states(read_records(toy)[0]).items() if state == "Completed"}
    assert changed == {"fetch@twin", "clean@twin", "augment@twin", "train@twin"}, "equal bytes cut the rest off early"
    assert "up to date" in run_dvc(toy, "status")


def test_a_failed_stage_reports_its_error_and_blocks_only_downstream_stages(toy: Path, server: Env) -> None:
    output = run_bonsai(
        toy, "run", "--set", "use_cases.toy.model.flaw=error", "--set", "use_cases.twin.model.width=5", server=server, code=1
    )
    record = read_records(toy)[0]
    states = stage_states(record)
    assert states["train@toy"] == "Failed"
    assert states["release@toy"] == states["compress@toy-dense"] == "NotRun"
    assert states["release@twin"] == "Completed"
    assert record["stages"]["train@toy"]["attempt"] == 2, "dvc.yaml gives it one retry"
    assert "RuntimeError: the sum does not add up" in output
    assert "Traceback" not in output
    assert "Traceback" in record["stages"]["train@toy"]["details"]
    assert not (run_folders(toy)[0] / "data" / "toy" / "model").exists()


@pytest.mark.slow
def test_a_user_error_is_not_retried(toy: Path, server: Env) -> None:
    output = run_bonsai(toy, "run", "toy", "--set", "model.flaw=mistake", server=server, code=1)
    assert read_records(toy)[0]["stages"]["train@toy"]["attempt"] == 1
    assert "train@toy: model.flaw is 'mistake'; take it out" in output


def test_a_killed_flow_ends_its_stage_and_the_next_run_resumes(toy: Path, server: Env) -> None:
    undisturbed = output_hashes(toy)
    with slow_run(toy, server) as (flow, stage):
        flow.kill()
        flow.wait()
        wait_for(lambda: has_ended(stage), 20)
    output = run_bonsai(toy, "run", "toy", "--set", "model.pause_s=0.7", server=server)
    crashed, done = read_records(toy)
    assert crashed["state"] == "Crashed"
    assert stage_states(crashed)["train@toy"] == "Crashed"
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
    assert read_records(toy)[0]["stages"]["train@toy"]["attempt"] == 2


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_stopping_a_run_ends_its_stage_and_leaves_nothing_half_written(
    toy: Path, server: Env, stop_signal: signal.Signals
) -> None:
    with slow_run(toy, server) as (flow, stage):
        flow.send_signal(stop_signal)
        wait_for(lambda: has_ended(stage), 10)
        assert flow.wait(90) == 130
    record = read_records(toy)[0]
    assert record["state"] == "Cancelled"
    assert stage_states(record)["train@toy"] == "Cancelled"
    assert stage_states(record)["release@toy"] == "NotRun"
    assert not list(toy.glob("runs/*/data/**/.*.partial"))
    assert "goes on from where" in run_bonsai(toy, "run", "toy", "--set", "model.pause_s=0.7", server=server)


@pytest.mark.slow
def test_changed_content_of_the_users_own_data_is_noticed(toy: Path, server: Env) -> None:
    (toy / "own.json").write_text("[2, 4, 6]")
    for expected in ("Completed", "Unchanged"):
        run_bonsai(toy, "run", "toy", "--set", "fetch.path=own.json", server=server)
        assert stage_states(read_records(toy)[-1])["fetch@toy"] == expected
    run_bonsai(toy, "run", "toy", server=server)
    run_bonsai(toy, "run", "toy", "--set", "fetch.path=own.json", server=server)
    assert set(stage_states(read_records(toy)[-1]).values()) == {"Unchanged"}, "what ran in between does not matter"
    (toy / "own.json").write_text("[2, 4, 8]")
    run_bonsai(toy, "run", "toy", "--set", "fetch.path=own.json", server=server)
    assert stage_states(read_records(toy)[-1])["fetch@toy"] == "Completed"


@pytest.mark.slow
def test_runs_with_different_overrides_run_concurrently_and_share_equal_stages(toy: Path, server: Env) -> None:
    flows = [start_bonsai(toy, "run", "toy", "--set", f"model.width={width}", server=server) for width in (5, 6, 5)]
    for flow in flows:
        output, _ = flow.communicate(timeout=250)
        assert flow.returncode == 0, output
        assert "released 'quarter'" in output
    trained = [stage_states(record)["train@toy"] for record in read_records(toy)]
    assert trained == ["Completed", "Completed"], "the two equal requests are one run"
    run_bonsai(toy, "run", "toy", "--set", "model.width=5", server=server)
    assert not {"Completed", "Failed"} & set(stage_states(read_records(toy)[-1]).values()), (
        "the outputs of the first one are restored"
    )
    for folder in run_folders(toy):
        assert "up to date" in run_dvc(folder, "repro")


@pytest.mark.slow
def test_without_a_server_a_run_starts_its_own_and_leaves_no_process_however_it_ends(toy: Path) -> None:
    with slow_run(toy, {}) as (flow, _):
        children = psutil.Process(flow.pid).children(recursive=True)
        assert len(children) >= 2, "the server and the stage"
        flow.kill()
        flow.wait()
        wait_until_ended(children, 60)
    process = start_bonsai(toy, "run", "toy", server={})
    children = wait_for(lambda: psutil.Process(process.pid).children(recursive=True), 30)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert "starting one for this run" in output
    assert set(stage_states(read_records(toy)[1]).values()) == {"Unchanged"}
    assert all(map(has_ended, children))


@pytest.mark.slow
def test_an_output_changed_by_hand_is_kept_aside_and_the_runs_takes_its_place(toy: Path, server: Env) -> None:
    target = toy / "data" / "toy" / "clean" / "rows" / "part-00000.json"
    target.unlink()
    target.write_text("[1, 2, 3]")
    output = run_bonsai(toy, "run", "toy", server=server)
    kept = Path(output.partition("it is kept as ")[2].partition(",")[0])
    assert (kept / "rows" / "part-00000.json").read_text() == "[1, 2, 3]"
    assert target.read_text() != "[1, 2, 3]"
    assert read_records(toy)[0]["reflected"]
