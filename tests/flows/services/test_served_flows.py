"""Served deployments: schedules that a user set persist, dead runs are detected, and PostgreSQL can hold the records."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest

from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from flows.services.prefect_server import PrefectServer
from tests.support.bonsai_process import read_records, run_bonsai, stage_states, start_bonsai, wait_for
from tests.support.running_services import RunningServices, add_hold_files, start_services
from tests.support.toy_project import PARAMS, SMALL, build_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page gives the server ten seconds; a test on a busy machine gives it a minute."""
    monkeypatch.setattr(prefect_api, "TIMEOUT_S", 60.0)


def listed_schedules(up: RunningServices) -> dict[str, str]:
    """The line of `bonsai schedules` for each nightly deployment, by name."""
    lines = [line.split(maxsplit=1) for line in run_bonsai(up.root, "schedules", server={}).splitlines() if "-nightly" in line]
    return {name: " ".join(rest.split()) for name, rest in lines}


def test_schedules_stay_as_a_person_set_them_when_all_is_started_again(tmp_path: Path) -> None:
    toy = build_project(tmp_path / "toy", PARAMS)
    with start_services(toy) as up:
        assert listed_schedules(up)["toy-nightly"].startswith("0 3 * * * UTC on")
        # Prefect's scheduler creates the next run; with versions that do not fit together it never does.
        wait_for(lambda: listed_schedules(up)["toy-nightly"].endswith("03:00 UTC"))
        run_bonsai(toy, "schedules", "set", "toy-nightly", "--every", "6h", "--timezone", "Europe/Berlin", server={})
        run_bonsai(toy, "schedules", "pause", "twin-nightly", server={})
    with start_services(toy) as up:
        schedules = listed_schedules(up)
        assert schedules["toy-nightly"].startswith("every 6h Europe/Berlin on")
        assert schedules["twin-nightly"].startswith("10 3 * * * UTC paused")
        run_bonsai(toy, "schedules", "resume", "twin-nightly", server={})
        assert listed_schedules(up)["twin-nightly"].startswith("10 3 * * * UTC on")
        check_heartbeats(up, add_hold_files(build_project(tmp_path / "elsewhere", SMALL)))
        check_new_use_case(up)


def check_new_use_case(up: RunningServices) -> None:
    """A use case that is created while the services run can be requested, without starting them again."""
    run_bonsai(up.root, "new", "third", "--from", "toy", server={})
    wait_for(lambda: "third" in {each.name for each in up.server.deployments()})
    flow_run_id = prefect_api.request_run(up.root, ["third"], [], {"model.width": 5})
    assert up.wait_until_ended(flow_run_id) == "Completed"
    assert up.record(flow_run_id)["use_cases"] == ["third"]


def check_heartbeats(up: RunningServices, elsewhere: Path) -> None:
    """Check runs of another project, whose records this `bonsai up` does not see: only heartbeats show that they run.

    Checked here, beside the schedules, as starting the services once more takes half a minute.
    """
    server = up.server
    address = {"PREFECT_API_URL": server.url, "PREFECT_API_AUTH_STRING": server.auth}

    def held_run(width: int, ends: ExitStack) -> tuple[subprocess.Popen[str], str]:
        before = len(read_records(elsewhere))
        process = start_bonsai(elsewhere, "run", "toy", "--set", f"model.width={width}", server={**address, "BONSAI_SLOTS": "2"})
        ends.callback(end, process)

        def trains() -> str:
            assert process.poll() is None, "it has ended"
            new = read_records(elsewhere)[before:]
            return new[0]["prefect"]["flow_run_id"] if new and stage_states(new[0]).get("train@toy") == "Running" else ""

        return process, wait_for(trains, 240)

    def heartbeats(flow_run: str) -> list[Any]:
        event_filter = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{flow_run}"]}}
        events = server._post("/events/filter", {"filter": event_filter})
        return list(events["events"])

    with ExitStack() as ends:
        (elsewhere / "hold-train").touch()
        surviving, surviving_id = held_run(5, ends)
        killed, killed_id = held_run(6, ends)
        wait_for(lambda: heartbeats(surviving_id) and heartbeats(killed_id), 120)
        killed.kill()
        killed.wait()

        def ended() -> prefect_api.FlowRun | None:
            with suppress(Unreadable):  # a server so busy that it drops a connection is queried again
                flow_run = server.flow_run(killed_id)
                return flow_run if flow_run.state != "Running" else None
            return None

        crashed = wait_for(ended, 400)
        assert (crashed.state, crashed.message) == ("Crashed", "its heartbeats stopped")
        assert len(heartbeats(surviving_id)) >= 2, "running as long, and its heartbeats arrived"
        (elsewhere / "hold-train").unlink()
        assert surviving.wait(240) == 0
        assert server.flow_run(surviving_id).state == "Completed"


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def postgres() -> Path:
    """The folder with PostgreSQL's programs; the test is skipped where there is none."""
    program = shutil.which("postgres")
    places = [Path(program).resolve().parent] if program else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for place in reversed(places):
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    pytest.skip("PostgreSQL's server (postgres, initdb) is not installed here")


@contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL server on this machine only, with nothing in it, and its address as SQLAlchemy writes it."""
    programs, user = postgres(), None
    if os.geteuid() == 0:  # which PostgreSQL refuses to be
        users = {each.pw_name for each in pwd.getpwall()}
        user = "postgres" if "postgres" in users else "nobody"
    with TemporaryDirectory(prefix="bonsai-") as home, socket.socket() as listener:
        if user:
            shutil.chown(home, user)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        data, quiet = f"{home}/data", {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": home}
        initdb = [programs / "initdb", "--pgdata", data, "--username", "bonsai", "--auth", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, user=user, timeout=240, **quiet)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", home, "-F"]
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], user=user, **quiet)
        try:
            wait_for(lambda: answers(port), 120)
            yield f"postgresql+asyncpg://bonsai@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # "fast": ends its connections
            server.wait(60)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    return True


def test_prefect_stores_its_records_in_postgresql_when_configured(tmp_path: Path) -> None:
    toy = build_project(tmp_path / "toy", SMALL)
    with database() as url, patch.dict(os.environ):
        server = PrefectServer(tmp_path / "prefect", extra_environment={"PREFECT_API_DATABASE_CONNECTION_URL": url})
        try:
            server.wait_until_healthy()
            where = {"PREFECT_API_URL": server.api_url, "PREFECT_API_AUTH_STRING": server.password}
            run_bonsai(toy, "run", server=where)
            run_bonsai(toy, "run", server=where)
            made, again = read_records(toy)
            assert set(stage_states(made).values()) == {"Completed"}
            assert set(stage_states(again).values()) == {"Unchanged"}
            client = prefect_api.Server(server.api_url, server.password)
            for record in (made, again):
                assert client.flow_run(record["prefect"]["flow_run_id"]).state == "Completed"
        finally:
            server.stop()
    assert not list(tmp_path.rglob("prefect.db")), "nothing went to SQLite"
