"""`bonsai up`: serves on this machine only; runs are requested, joined and cancelled; no process is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from dashboard.readers import prefect_api
from flows import settings
from flows.services.supervisor import Supervisor, read_or_create_password, single_instance, wait_until_ready
from tasks.core.errors import UserError
from tests.support.bonsai_process import (
    has_ended,
    read_records,
    run_bonsai,
    run_dvc,
    stage_states,
    start_bonsai,
    wait_for,
    wait_until_ended,
)
from tests.support.running_services import VERBS, RunningServices, add_hold_files, start_services
from tests.support.toy_project import SMALL, build_project


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServices]:
    with start_services(add_hold_files(build_project(tmp_path_factory.mktemp("up") / "toy", SMALL))) as running:
        yield running


def test_a_second_bonsai_up_is_refused_with_the_address_of_the_first(toy: Path) -> None:
    (toy / ".prefect").mkdir()
    (toy / ".prefect" / "server.json").write_text(json.dumps({"dashboard_url": "http://127.0.0.1:8501"}))
    with (
        single_instance(toy),
        pytest.raises(UserError, match=r"is already running here: dashboard http://127.0.0.1:8501"),
        single_instance(toy),
    ):
        pass


def test_the_password_is_kept_and_only_this_user_reads_it(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    supervisor = Supervisor(toy, 0, 0)
    supervisor.write_server_file()
    assert supervisor.password == read_or_create_password(toy / ".prefect" / "password")
    for name in ("password", "server.json"):
        assert (toy / ".prefect" / name).stat().st_mode & 0o077 == 0


def test_the_dashboards_address_is_printed_before_the_server_answers(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    supervisor = Supervisor(toy, 0, 0)
    printed: list[str] = []

    def server_answers() -> bool:
        printed.append(capsys.readouterr().out)
        return len(printed) > 1

    server, dashboard, runner = supervisor.services
    for service, answers in ((server, server_answers), (dashboard, lambda: True), (runner, lambda: True)):
        service.launch = lambda: subprocess.Popen(["sleep", "60"])
        service.answers = answers
        service.start()
    try:
        wait_until_ready(supervisor, threading.Event())
    finally:
        for service in supervisor.services:
            assert service.process
            service.process.kill()
            service.process.wait()
    assert printed[0].split() == ["dashboard", supervisor.dashboard_link]
    assert "runs can be started" in capsys.readouterr().out


@pytest.mark.slow
def test_three_services_answer_and_nothing_listens_beyond_this_machine(up: RunningServices) -> None:
    assert [line.split()[0] for line in up.output_lines[-4:]] == ["dashboard", "Prefect", "its", "ready"]
    sockets = [
        each for process in (psutil.Process(up.process.pid), *up.descendants()) for each in process.net_connections(kind="all")
    ]
    listening = [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]
    assert len(listening) >= 2
    assert set(listening) <= {"127.0.0.1", "::1"}
    message = run_bonsai(up.root, "up", server={}, code=2)
    assert message.count("\n") == 1
    assert "is already running here" in message


@pytest.mark.slow
def test_a_deployment_runs_and_leaves_nothing_for_dvc_to_do(up: RunningServices) -> None:
    first = up.request_run("toy")
    assert up.wait_until_ended(first) == "Completed"
    assert up.record(first)["asked"]["how"] == "dashboard toy"
    assert "up to date" in run_dvc(up.root, "status")
    assert "up to date" in run_dvc(up.root, "repro")
    again = up.request_run("all")
    assert up.wait_until_ended(again) == "Completed"
    assert set(stage_states(up.record(again)).values()) == {"Unchanged"}
    output = run_bonsai(up.root, "run", "toy", server={})
    assert "starting one" not in output, "the command line finds the server that runs"
    assert up.server.flow_run(read_records(up.root)[-1]["prefect"]["flow_run_id"]).state == "Completed"


@pytest.mark.slow
def test_the_flow_that_watches_runs_as_a_deployment(up: RunningServices) -> None:
    assert up.wait_until_ended(up.request_run("monitor")) == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"overrides": {"training.epochs": 0}}, "less than the minimum of 1"),
        ({"overrides": {"use_cases.toy.training.epochs": "many"}}, "not of type"),
        ({"overrides": {"training.epoch": 3}}, "does not match any"),
        ({"recipes": ["hlf"]}, "not one of"),
        ({"use_cases": ["twin"]}, "not one of"),
    ],
)
def test_an_invalid_value_is_rejected_on_request(up: RunningServices, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(prefect_api.RequestRefused, match=message):
        up.request_run("toy", **parameters)


@pytest.mark.slow
def test_twenty_identical_requests_at_once_make_one_run_and_one_more_later_another(up: RunningServices) -> None:
    before = len(read_records(up.root))
    (up.root / "hold-train").touch()

    def click(_: int) -> str:
        return prefect_api.request_run(up.root, ["toy"], [], {"model.width": 7})

    try:
        with ThreadPoolExecutor(20) as clicks:
            flow_run_ids = set(clicks.map(click, range(20)))
        assert len(flow_run_ids) == 1
        wait_for(lambda: len(read_records(up.root)) > before)
        typed = start_bonsai(up.root, "run", "toy", "--set", "model.width=7", server={})
        assert typed.stdout
        assert "already running" in next(line for line in typed.stdout if "already running" in line or "Running" in line)
    finally:
        (up.root / "hold-train").unlink()
    assert up.wait_until_ended(*flow_run_ids) == "Completed"
    typed.communicate(timeout=60)
    assert typed.returncode == 0
    assert len(read_records(up.root)) == before + 1
    assert prefect_api.request_run(up.root, ["toy"], [], {"model.width": 7}) not in flow_run_ids
    wait_for(lambda: len(read_records(up.root)) == before + 2 and read_records(up.root)[-1]["state"] == "Completed")


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_cancel_ends_any_stage_within_ten_seconds_and_reads_cancelled_everywhere(up: RunningServices, verb: str) -> None:
    hold = up.root / f"hold-{verb}"
    hold.touch()
    flow_run_id = up.request_run("toy", force=True)
    try:
        cancel_at(up, flow_run_id, verb)
    finally:
        hold.unlink()
    if verb == VERBS[-1]:
        run_bonsai(up.root, "run", "toy", server={})
        assert "up to date" in run_dvc(up.root, "status")


def cancel_at(up: RunningServices, flow_run_id: str, verb: str) -> None:
    def at_work() -> dict[str, Any]:
        stages = up.record(flow_run_id).get("stages", {})
        return next((each for name, each in stages.items() if name.startswith(f"{verb}@") and each["state"] == "Running"), {})

    stage = wait_for(at_work)["process"]["pid"]
    began = time.monotonic()
    up.server.cancel(flow_run_id)
    wait_for(lambda: has_ended(stage), 10 - (time.monotonic() - began))
    assert up.wait_until_ended(flow_run_id) == "Cancelled"
    record = up.record(flow_run_id)
    assert record["state"] == "Cancelled"
    assert not list(up.root.glob("runs/*/data/**/.*.partial"))


@pytest.mark.slow
def test_prefect_shows_which_stage_waits_for_the_machine_and_has_tables_of_the_run(up: RunningServices) -> None:
    hold = up.root / "hold-train"
    hold.touch()

    def state(flow_run_id: str, task: str) -> str:
        task_runs = up.server._post("/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}})
        return next((each["state_name"] for each in task_runs if each["name"] == task), "")

    first = up.request_run("toy", overrides={"model.width": 8})
    wait_for(lambda: state(first, "train@toy") == "Running", 180)
    second = up.request_run("toy", overrides={"model.width": 9})
    wait_for(lambda: state(second, "train@toy") == "Queued", 180)
    hold.unlink()
    assert [up.wait_until_ended(first), up.wait_until_ended(second)] == ["Completed", "Completed"]
    assert state(second, "train@toy") == "Completed"
    artifacts = up.server._post("/artifacts/filter", {"flow_runs": {"id": {"any_": [second]}}})
    assert {"stages", "metrics-toy", "quarantine-toy", "dashboard", "progress-train-toy"} <= {each["key"] for each in artifacts}
    logs = up.server._post("/logs/filter", {"logs": {"flow_run_id": {"any_": [second]}}, "limit": 200})
    assert any("waiting for a free slot" in each["message"] for each in logs)
    assert (
        any("kept 10 of 20 rows" in each["message"] for each in logs if each["task_run_id"])
        or state(second, "clean@toy") != "Completed"
    )


@pytest.mark.slow
def test_a_prefect_limit_delays_the_stages_that_have_its_tag_and_work_to_do(up: RunningServices) -> None:
    run_bonsai(up.root, "run", "toy", server={})
    limit = up.server._post("/v2/concurrency_limits/", {"name": "tag:gpu", "limit": 1})["id"]
    slot = {"names": ["tag:gpu"], "slots": 1}
    up.server._post("/v2/concurrency_limits/increment", slot)  # another holder has the only slot
    try:
        assert up.wait_until_ended(up.request_run("toy")) == "Completed", "there is nothing to do that would need it"
        flow_run_id = up.request_run("toy", force=True)
        wait_for(lambda: "waiting for a free slot" in (up.root / ".prefect" / "runner.log").read_text().rpartition("clean@")[2])
        stages = up.record(flow_run_id)["stages"]
        assert [stages[name]["state"] for name in ("augment@toy", "train@toy")] == ["Completed", "Queued"]
        up.server._post("/v2/concurrency_limits/decrement", slot)
        assert up.wait_until_ended(flow_run_id) == "Completed"
    finally:
        up.server._send("DELETE", f"/v2/concurrency_limits/{limit}")


@pytest.mark.slow
def test_schedules_are_listed_paused_set_and_triggered_from_the_command_line(up: RunningServices) -> None:
    def schedules(*arguments: str, code: int = 0) -> str:
        return run_bonsai(up.root, "schedules", *arguments, server={}, code=code)

    def nightly() -> list[str]:
        return next(line.split() for line in schedules().splitlines() if "toy-nightly" in line)

    assert nightly()[1:8] == ["0", "3", "*", "*", "*", "UTC", "on"]
    schedules("pause", "toy-nightly")
    assert "paused" in nightly()
    schedules("set", "toy-nightly", "--every", "6h", "--timezone", "Europe/Berlin")
    assert nightly()[1:5] == ["every", "6h", "Europe/Berlin", "on"]
    schedules("set", "toy-nightly", "--rrule", "FREQ=WEEKLY;BYDAY=MO")
    assert "FREQ=WEEKLY;BYDAY=MO" in nightly()
    assert "not a schedule" in schedules("set", "toy-nightly", "--cron", "every day", code=2)
    assert "did you mean 'toy-nightly'" in schedules("pause", "toy-nightli", code=2)
    assert "less than the minimum" in schedules("trigger", "toy", "--set", "training.epochs=0", code=2)
    flow_run_id = schedules("trigger", "toy-nightly").rpartition("(")[2].strip(" )\n")
    assert up.wait_until_ended(flow_run_id) == "Completed"


@pytest.mark.slow
def test_a_run_whose_process_is_killed_soon_reads_crashed_and_a_killed_server_comes_back(up: RunningServices) -> None:
    (up.root / "hold-train").touch()
    flow_run_id = up.request_run("toy", force=True)
    process = wait_for(lambda: up.record(flow_run_id).get("process"), 180)
    wait_for(lambda: up.record(flow_run_id)["stages"].get("train@toy", {}).get("state") == "Running", 180)
    os.kill(process["pid"], signal.SIGKILL)
    assert up.wait_until_ended(flow_run_id) == "Crashed"
    wait_for(lambda: up.record(flow_run_id)["state"] == "Crashed", 120)

    flow_run_id = up.request_run("toy", force=True)
    wait_for(lambda: up.record(flow_run_id).get("stages", {}).get("train@toy", {}).get("state") == "Running", 180)
    server = next(each for each in psutil.Process(up.process.pid).children() if "flows.services.prefect_server" in each.cmdline())
    server.kill()
    time.sleep(3)
    (up.root / "hold-train").unlink()
    wait_for(lambda: settings.is_healthy(up.server.url), 180)
    assert up.wait_until_ended(flow_run_id) == "Completed"
    assert up.record(flow_run_id)["state"] == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_one_signal_ends_all_that_up_started_runs_included(up: RunningServices, sig: signal.Signals, tmp_path: Path) -> None:
    root = add_hold_files(build_project(tmp_path / "toy", SMALL)) if sig == signal.SIGKILL else up.root
    with start_services(root) if sig == signal.SIGKILL else _unchanged(up) as running:
        (root / "hold-train").touch()
        flow_run_id = running.request_run("toy", force=True)
        wait_for(lambda: running.record(flow_run_id).get("stages", {}).get("train@toy", {}).get("state") == "Running", 180)
        descendants = running.descendants()
        running.process.send_signal(sig)
        running.process.wait(90)
        wait_until_ended(descendants, 60)
        if sig == signal.SIGINT:
            assert running.process.returncode == 0
            assert running.record(flow_run_id)["state"] == "Cancelled"
            assert not (root / ".prefect" / "server.json").exists()


@contextmanager
def _unchanged(up: RunningServices) -> Iterator[RunningServices]:
    yield up
