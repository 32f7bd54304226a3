"""`bonsai up` and its deployments: on this machine only; runs are asked for, joined, cancelled; no process is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import yaml

from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from flows import settings
from flows.execution import run_artifacts
from flows.parameters.json_schema import request_schema
from flows.runs.run_record import Run
from flows.services import schedules
from flows.services.deployments import deployment_specs
from flows.services.supervisor import Supervisor, read_or_create_password, single_instance
from tasks.core import params_file
from tasks.core.atomic_files import write_json
from tasks.core.errors import UserError
from tests.flows.test_pipeline import bonsai, dvc, environment, gone, start, states, wait_for
from tests.support.toy_project import REPOSITORY, SMALL, build_project, use_toy_registry

FINAL = ("Completed", "Failed", "Cancelled", "Crashed")
VERBS = ("fetch", "clean", "augment", "train", "compress", "evaluate", "release")


def records(toy: Path) -> list[dict[str, Any]]:
    """The records there are, oldest first; a run that is being made may not have one yet."""
    return [json.loads(path.read_text()) for path in sorted((toy / "runs").glob("*/run.json"))]


def held_back(toy: Path) -> Path:
    """A toy whose stage waits for as long as the project holds a file of its verb's name."""
    for verb in VERBS:
        path = toy / "tasks" / "stages" / f"{verb}.py"
        wait = f'while os.path.exists(os.path.join(os.environ.get("BONSAI_ROOT", "."), "hold-{verb}")): time.sleep(0.05)'
        path.write_text(path.read_text().replace("def main(context):", f"def main(context):\n    {wait}"))
    return toy


@dataclass
class Up:
    """A `bonsai up` that runs, and a client of its server as the dashboard has one."""

    root: Path
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def server(self) -> prefect_api.Server:
        found = settings.read_server_file(self.root)
        return prefect_api.Server(found["api_url"], found["auth_string"])

    def ask(self, name: str, key: str = "", **parameters: Any) -> str:
        chosen = next(each for each in self.server.deployments() if each.name == name)
        return self.server.start(chosen, parameters, key or f"{time.monotonic()}").id

    def ended(self, flow_run_id: str, seconds: float = 240) -> str:
        """How it ended; a server that is too busy to answer now is asked again until the time is over."""

        def state() -> str:
            with suppress(Unreadable):
                found = self.server.flow_run(flow_run_id).state
                return found if found in FINAL else ""
            return ""

        return str(wait_for(state, seconds))

    def record(self, flow_run_id: str) -> dict[str, Any]:
        found = [each for each in records(self.root) if each["prefect"].get("flow_run_id") == flow_run_id]
        return found[0] if found else {}

    def family(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]


@contextmanager
def upright(toy: Path) -> Iterator[Up]:
    command = [sys.executable, "-m", "flows.cli.main", "up", "--port", "0", "--dashboard-port", "0"]
    with (toy / "up.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=toy, env={**environment(toy, {}), "BONSAI_SLOTS": "1"}, stdout=log, stderr=log, text=True
        )

    def ready() -> bool:
        assert process.poll() is None, (toy / "up.log").read_text()
        return "Ctrl-C stops everything" in (toy / "up.log").read_text()

    try:
        wait_for(ready, 240)
        yield Up(toy, process, (toy / "up.log").read_text().splitlines())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with upright(held_back(build_project(tmp_path_factory.mktemp("up") / "toy", SMALL))) as running:
        yield running


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build_project(tmp_path / "toy")
    use_toy_registry(folder, monkeypatch)
    return folder


def test_every_use_case_is_deployed_on_demand_and_nightly_and_all_together(toy: Path) -> None:
    found = {each.name: each for each in deployment_specs(toy)}
    assert set(found) == {"all", "toy", "toy-nightly", "twin", "twin-nightly"}
    assert found["twin"].parameters == {"use_cases": ["twin"]}
    assert [each["cron"] for name in ("toy-nightly", "twin-nightly") for each in found[name].schedules] == [
        "0 3 * * *",
        "10 3 * * *",
    ]


def test_what_prefect_yaml_says_comes_first(toy: Path) -> None:
    schedules = [{"cron": "5 5 * * 1", "timezone": "Europe/Berlin", "active": False}]
    stanza = {"name": "toy-nightly", "parameters": {"use_cases": ["toy"]}, "schedules": schedules}
    gone_since = {"name": "pine", "parameters": {"use_cases": ["pine"]}}
    (toy / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [stanza, gone_since]}))
    found = {each.name: each for each in deployment_specs(toy)}
    assert found["toy-nightly"].schedules == tuple(schedules)
    assert "twin-nightly" in found
    assert "pine" not in found, "params.yaml has no such use case any more"


def test_the_projects_prefect_yaml_deploys_use_cases_that_exist() -> None:
    params = params_file.read_params(REPOSITORY / "params.yaml")
    found = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    for entry in found:
        assert set(entry.get("parameters", {}).get("use_cases", ())) <= set(params.use_cases)
        assert entry["entrypoint"] == "flows/pipeline.py:pipeline"
        assert entry["work_pool"]["name"] == "bonsai"
    assert {"all", "vision", "vision-nightly"} <= {entry["name"] for entry in found}


@pytest.mark.parametrize("room", ["flows", "dashboard"])
def test_no_file_hides_a_library_when_its_folder_comes_first_on_the_path(room: str) -> None:
    """As it does when Prefect loads a flow, or Streamlit a page, by its file."""
    names = {path.stem for path in (REPOSITORY / room).glob("*.py")} - {"__init__"}
    places = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]  # sys.path is what other tests made of it
    assert not {name for name in names if PathFinder.find_spec(name, places)} | (names & set(sys.builtin_module_names))


def test_parameters_come_with_bounds_choices_words_and_present_values(toy: Path) -> None:
    found = request_schema(toy, ["twin"])
    overrides = found["overrides"]["anyOf"][0]
    assert overrides["properties"]["model.width"] == {
        "title": "model.width",
        "description": "",
        "default": 4,
        "type": "integer",
        "minimum": 1,
        "maximum": 512,
    }
    assert overrides["properties"]["fetch.limit"]["default"] == 10
    assert "adamw" in overrides["properties"]["training.optimizer"]["enum"]
    assert "`muon` moves" in overrides["properties"]["training.optimizer"]["description"]
    assert overrides["properties"]["recipes.quarter.0.halve.times"]["default"] == 2
    assert "fetch.fingerprint" not in overrides["properties"]
    assert not overrides["additionalProperties"]
    assert found["recipes"]["anyOf"][0]["items"]["enum"] == ["dense", "half", "quarter"]
    assert request_schema(toy)["use_cases"]["anyOf"][0]["items"]["enum"] == ["toy", "twin"]


def test_a_second_bonsai_up_is_told_where_the_first_is(toy: Path) -> None:
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


def test_a_run_leaves_its_stages_metrics_curves_and_quarantine_with_prefect(toy: Path) -> None:
    folder = toy / "runs" / "20260101-000000-toy-aaaa"
    for path, content in (
        (
            "model/curves.json",
            [{"epoch": 1, "loss": 2.0, "validation_loss": 2.5}, {"epoch": 2, "loss": 1.0, "validation_loss": None}],
        ),
        ("clean/ledger.json", {"rows_in": 20, "kept": 19, "quarantined": 1, "reasons": {"too | dark": 1}}),
    ):
        write_json(folder / "data" / "toy" / path, content)
    stages = {
        "fetch@toy": {"state": "Unchanged"},
        "train@toy": {"state": "Completed", "attempt": 2, "wall_s": 61.0, "reasons": [{"text": "epochs: 1 -> 2"}]},
    }
    table = {"rows": [{"recipe": "dense", "metric": "accuracy", "value": 0.98}]}
    record = {"stages": stages, "use_cases": ["toy"], "results": {"toy": {"table": table, "verdict": {"reason": "released"}}}}
    write_json(toy / ".prefect" / "server.json", {"dashboard_url": "http://127.0.0.1:8501"})
    kept = {key: (kind, data) for kind, key, _, data in run_artifacts.run_artifacts(Run(folder, record))}
    assert json.loads(kept["stages"][1])[1] == {
        "stage": "train@toy",
        "state": "Completed",
        "attempt": 2,
        "time": "1 min 01 s",
        "why": "epochs: 1 -> 2",
    }
    assert json.loads(kept["metrics-toy"][1]) == [{"recipe": "dense", "accuracy": "0.9800"}]
    picture = b64decode(kept["curves-toy"][1].removeprefix("data:image/svg+xml;base64,")).decode()
    assert picture.count("<polyline") == 2
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "| reason: too / dark | 1 |" in kept["quarantine-toy"][1]
    assert kept["dashboard"][1] == f"[Run {folder.name}](http://127.0.0.1:8501/?run={folder.name})"


def test_a_time_span_is_read_as_people_write_it() -> None:
    assert schedules.parse_time_span("6h") == timedelta(hours=6)
    assert schedules.parse_timing("", "90s", "", "UTC") == {"interval": timedelta(seconds=90), "timezone": "UTC"}
    for wrong in (("", "soon", ""), ("0 3 * * *", "6h", ""), ("", "", "")):
        with pytest.raises(UserError):
            schedules.parse_timing(*wrong, "UTC")


@pytest.mark.slow
def test_three_parts_answer_and_nothing_listens_beyond_this_machine(up: Up) -> None:
    assert [line.split()[0] for line in up.said[-3:]] == ["dashboard", "Prefect", "its"]
    sockets = [each for pid in (up.process.pid, *up.family()) for each in psutil.Process(pid).net_connections(kind="all")]
    listening = [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]
    assert len(listening) >= 2
    assert set(listening) <= {"127.0.0.1", "::1"}
    said = bonsai(up.root, "up", server={}, code=2)
    assert said.count("\n") == 1
    assert "is already running here" in said


@pytest.mark.slow
def test_a_deployment_runs_and_leaves_nothing_for_dvc_to_do(up: Up) -> None:
    first = up.ask("toy")
    assert up.ended(first) == "Completed"
    assert up.record(first)["asked"]["how"] == "dashboard toy"
    assert "up to date" in dvc(up.root, "status")
    assert "up to date" in dvc(up.root, "repro")
    again = up.ask("all")
    assert up.ended(again) == "Completed"
    assert set(states(up.record(again)).values()) == {"Unchanged"}
    said = bonsai(up.root, "run", "toy", server={})
    assert "starting one" not in said, "the command line finds the server that runs"
    assert up.server.flow_run(records(up.root)[-1]["prefect"]["flow_run_id"]).state == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"overrides": {"training.epochs": 0}}, "less than the minimum of 1"),
        ({"overrides": {"use_cases.toy.training.epochs": "many"}}, "not of type"),
        ({"overrides": {"training.epoch": 3}}, "does not match any"),
        ({"recipes": ["hlf"]}, "not one of"),
        ({"use_cases": ["twin"]}, "not one of"),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_asked_for(up: Up, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(prefect_api.RequestRefused, match=said):
        up.ask("toy", **parameters)


@pytest.mark.slow
def test_twenty_identical_requests_at_once_make_one_run_and_one_more_later_another(up: Up) -> None:
    before = len(records(up.root))
    (up.root / "hold-train").touch()

    def click(_: int) -> str:
        return prefect_api.request_run(up.root, ["toy"], [], {"model.width": 7})

    try:
        with ThreadPoolExecutor(20) as clicks:
            asked = set(clicks.map(click, range(20)))
        assert len(asked) == 1
        wait_for(lambda: len(records(up.root)) > before)
        typed = start(up.root, "run", "toy", "--set", "model.width=7", server={})
        assert typed.stdout
        assert "already running" in next(line for line in typed.stdout if "already running" in line or "Running" in line)
    finally:
        (up.root / "hold-train").unlink()
    assert up.ended(*asked) == "Completed"
    typed.communicate(timeout=60)
    assert typed.returncode == 0
    assert len(records(up.root)) == before + 1
    assert prefect_api.request_run(up.root, ["toy"], [], {"model.width": 7}) not in asked
    wait_for(lambda: len(records(up.root)) == before + 2 and records(up.root)[-1]["state"] == "Completed")


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_cancel_ends_any_stage_within_ten_seconds_and_reads_cancelled_everywhere(up: Up, verb: str) -> None:
    hold = up.root / f"hold-{verb}"
    hold.touch()
    asked = up.ask("toy", force=True)
    try:
        stop_at(up, asked, verb)
    finally:
        hold.unlink()
    if verb == VERBS[-1]:
        bonsai(up.root, "run", "toy", server={})
        assert "up to date" in dvc(up.root, "status")


def stop_at(up: Up, asked: str, verb: str) -> None:
    def at_work() -> dict[str, Any]:
        stages = up.record(asked).get("stages", {})
        return next((each for name, each in stages.items() if name.startswith(f"{verb}@") and each["state"] == "Running"), {})

    stage = wait_for(at_work)["process"]["pid"]
    began = time.monotonic()
    up.server.cancel(asked)
    wait_for(lambda: gone(stage), 10 - (time.monotonic() - began))
    assert up.ended(asked) == "Cancelled"
    record = up.record(asked)
    assert record["state"] == "Cancelled"
    assert not list(up.root.glob("runs/*/data/**/.*.partial"))


@pytest.mark.slow
def test_prefect_shows_who_waits_for_the_machine_and_keeps_tables_of_the_run(up: Up) -> None:
    hold = up.root / "hold-train"
    hold.touch()

    def state(flow_run_id: str, task: str) -> str:
        found = up.server._post("/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}})
        return next((each["state_name"] for each in found if each["name"] == task), "")

    first = up.ask("toy", overrides={"model.width": 8})
    wait_for(lambda: state(first, "train@toy") == "Running", 180)
    second = up.ask("toy", overrides={"model.width": 9})
    wait_for(lambda: state(second, "train@toy") == "Queued", 180)
    hold.unlink()
    assert [up.ended(first), up.ended(second)] == ["Completed", "Completed"]
    assert state(second, "train@toy") == "Completed"
    kept = up.server._post("/artifacts/filter", {"flow_runs": {"id": {"any_": [second]}}})
    assert {"stages", "metrics-toy", "quarantine-toy", "dashboard", "progress-train-toy"} <= {each["key"] for each in kept}
    logs = up.server._post("/logs/filter", {"logs": {"flow_run_id": {"any_": [second]}}, "limit": 200})
    assert any("waits until the machine" in each["message"] for each in logs)
    assert (
        any("kept 10 of 20 rows" in each["message"] for each in logs if each["task_run_id"])
        or state(second, "clean@toy") != "Completed"
    )


@pytest.mark.slow
def test_a_limit_of_prefects_holds_back_the_stages_that_have_its_tag_and_have_work_to_do(up: Up) -> None:
    bonsai(up.root, "run", "toy", server={})
    limit = up.server._post("/v2/concurrency_limits/", {"name": "tag:gpu", "limit": 1})["id"]
    place = {"names": ["tag:gpu"], "slots": 1}
    up.server._post("/v2/concurrency_limits/increment", place)  # somebody else has the one there is
    try:
        assert up.ended(up.ask("toy")) == "Completed", "there is nothing to do that would need it"
        asked = up.ask("toy", force=True)
        wait_for(lambda: "waits until the machine" in (up.root / ".prefect" / "runner.log").read_text().rpartition("clean@")[2])
        stages = up.record(asked)["stages"]
        assert [stages[name]["state"] for name in ("augment@toy", "train@toy")] == ["Completed", "Queued"]
        up.server._post("/v2/concurrency_limits/decrement", place)
        assert up.ended(asked) == "Completed"
    finally:
        up.server._send("DELETE", f"/v2/concurrency_limits/{limit}")


@pytest.mark.slow
def test_schedules_are_listed_paused_set_and_triggered_from_the_command_line(up: Up) -> None:
    def say(*arguments: str, code: int = 0) -> str:
        return bonsai(up.root, "schedules", *arguments, server={}, code=code)

    def nightly() -> list[str]:
        return next(line.split() for line in say().splitlines() if "toy-nightly" in line)

    assert nightly()[1:8] == ["0", "3", "*", "*", "*", "UTC", "on"]
    say("pause", "toy-nightly")
    assert "paused" in nightly()
    say("set", "toy-nightly", "--every", "6h", "--timezone", "Europe/Berlin")
    assert nightly()[1:5] == ["every", "6h", "Europe/Berlin", "on"]
    say("set", "toy-nightly", "--rrule", "FREQ=WEEKLY;BYDAY=MO")
    assert "FREQ=WEEKLY;BYDAY=MO" in nightly()
    assert "not a schedule" in say("set", "toy-nightly", "--cron", "every day", code=2)
    assert "did you mean 'toy-nightly'" in say("pause", "toy-nightli", code=2)
    assert "less than the minimum" in say("trigger", "toy", "--set", "training.epochs=0", code=2)
    asked = say("trigger", "toy-nightly").rpartition("(")[2].strip(" )\n")
    assert up.ended(asked) == "Completed"


@pytest.mark.slow
def test_a_run_whose_process_is_killed_soon_reads_crashed_and_a_killed_server_comes_back(up: Up) -> None:
    (up.root / "hold-train").touch()
    asked = up.ask("toy", force=True)
    process = wait_for(lambda: up.record(asked).get("process"), 180)
    wait_for(lambda: up.record(asked)["stages"].get("train@toy", {}).get("state") == "Running", 180)
    os.kill(process["pid"], signal.SIGKILL)
    assert up.ended(asked) == "Crashed"
    wait_for(lambda: up.record(asked)["state"] == "Crashed", 120)

    asked = up.ask("toy", force=True)
    wait_for(lambda: up.record(asked).get("stages", {}).get("train@toy", {}).get("state") == "Running", 180)
    server = next(each for each in psutil.Process(up.process.pid).children() if "flows.services.prefect_server" in each.cmdline())
    server.kill()
    time.sleep(3)
    (up.root / "hold-train").unlink()
    wait_for(lambda: settings.is_healthy(up.server.url), 180)
    assert up.ended(asked) == "Completed"
    assert up.record(asked)["state"] == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_one_sign_ends_all_that_up_started_runs_included(up: Up, sign: signal.Signals, tmp_path: Path) -> None:
    root = held_back(build_project(tmp_path / "toy", SMALL)) if sign == signal.SIGKILL else up.root
    with upright(root) if sign == signal.SIGKILL else _as_it_is(up) as running:
        (root / "hold-train").touch()
        asked = running.ask("toy", force=True)
        wait_for(lambda: running.record(asked).get("stages", {}).get("train@toy", {}).get("state") == "Running", 180)
        family = running.family()
        running.process.send_signal(sign)
        running.process.wait(90)
        wait_for(lambda: all(map(gone, family)), 20)
        if sign == signal.SIGINT:
            assert running.process.returncode == 0
            assert running.record(asked)["state"] == "Cancelled"
            assert not (root / ".prefect" / "server.json").exists()


@contextmanager
def _as_it_is(up: Up) -> Iterator[Up]:
    yield up
