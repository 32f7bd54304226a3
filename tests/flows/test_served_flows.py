"""Served: schedules stay as a person set them, silent runs are noticed, and the records may live in PostgreSQL."""

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
from tests.flows.test_pipeline import bonsai, start, states, wait_for
from tests.flows.test_supervisor import Up, held_back, records, upright
from tests.support.toy_project import PARAMS, SMALL, build_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page gives the server ten seconds; a test on a busy machine gives it a minute."""
    monkeypatch.setattr(prefect_api, "TIMEOUT_S", 60.0)


def timetable(up: Up) -> dict[str, str]:
    """What `bonsai schedules` says of each deployment."""
    lines = [line.split(maxsplit=1) for line in bonsai(up.root, "schedules", server={}).splitlines() if "-nightly" in line]
    return {name: " ".join(rest.split()) for name, rest in lines}


def test_schedules_stay_as_a_person_set_them_when_all_is_started_again(tmp_path: Path) -> None:
    toy = build_project(tmp_path / "toy", PARAMS)
    with upright(toy) as up:
        assert timetable(up)["toy-nightly"].startswith("0 3 * * * UTC on")
        bonsai(toy, "schedules", "set", "toy-nightly", "--every", "6h", "--timezone", "Europe/Berlin", server={})
        bonsai(toy, "schedules", "pause", "twin-nightly", server={})
    with upright(toy) as up:
        found = timetable(up)
        assert found["toy-nightly"].startswith("every 6h Europe/Berlin on")
        assert found["twin-nightly"].startswith("10 3 * * * UTC paused")
        bonsai(toy, "schedules", "resume", "twin-nightly", server={})
        assert timetable(up)["twin-nightly"].startswith("10 3 * * * UTC on")
        silence(up, held_back(build_project(tmp_path / "elsewhere", SMALL)))


def silence(up: Up, elsewhere: Path) -> None:
    """Runs of another project, whose records this `bonsai up` does not see: only their heartbeats tell that they live.

    It is asked here, beside the schedules, because to start everything once more would cost half a minute.
    """
    server = up.server
    address = {"PREFECT_API_URL": server.url, "PREFECT_API_AUTH_STRING": server.auth}

    def held(width: int, ends: ExitStack) -> tuple[subprocess.Popen[str], str]:
        before = len(records(elsewhere))
        process = start(elsewhere, "run", "toy", "--set", f"model.width={width}", server={**address, "BONSAI_SLOTS": "2"})
        ends.callback(end, process)

        def trains() -> str:
            assert process.poll() is None, "it has ended"
            found = records(elsewhere)[before:]
            return found[0]["prefect"]["flow_run_id"] if found and states(found[0]).get("train@toy") == "Running" else ""

        return process, wait_for(trains, 240)

    def heartbeats(flow_run: str) -> list[Any]:
        asked = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{flow_run}"]}}
        found = server._post("/events/filter", {"filter": asked})
        return list(found["events"])

    with ExitStack() as ends:
        (elsewhere / "hold-train").touch()
        living, lives = held(5, ends)
        dying, dies = held(6, ends)
        wait_for(lambda: heartbeats(lives) and heartbeats(dies), 120)
        dying.kill()
        dying.wait()

        def ended() -> prefect_api.FlowRun | None:
            with suppress(Unreadable):  # a server so busy that it drops a connection is asked again
                found = server.flow_run(dies)
                return found if found.state != "Running" else None
            return None

        said = wait_for(ended, 400)
        assert (said.state, said.message) == ("Crashed", "its heartbeats stopped")
        assert len(heartbeats(lives)) >= 2, "as long at work, and often enough heard"
        (elsewhere / "hold-train").unlink()
        assert living.wait(240) == 0
        assert server.flow_run(lives).state == "Completed"


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def postgres() -> Path:
    """The folder with PostgreSQL's programs; the test is skipped where there is none."""
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
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
    with TemporaryDirectory(prefix="bonsai-") as home, socket.socket() as door:
        if user:
            shutil.chown(home, user)
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        door.close()
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


def test_prefect_keeps_its_records_in_postgresql_where_it_is_told_to(tmp_path: Path) -> None:
    toy = build_project(tmp_path / "toy", SMALL)
    with database() as url, patch.dict(os.environ):
        server = PrefectServer(tmp_path / "prefect", extra_environment={"PREFECT_API_DATABASE_CONNECTION_URL": url})
        try:
            server.wait_until_healthy()
            where = {"PREFECT_API_URL": server.api_url, "PREFECT_API_AUTH_STRING": server.password}
            bonsai(toy, "run", server=where)
            bonsai(toy, "run", server=where)
            made, again = records(toy)
            assert set(states(made).values()) == {"Completed"}
            assert set(states(again).values()) == {"Unchanged"}
            asked = prefect_api.Server(server.api_url, server.password)
            for record in (made, again):
                assert asked.flow_run(record["prefect"]["flow_run_id"]).state == "Completed"
        finally:
            server.stop()
    assert not list(tmp_path.rglob("prefect.db")), "nothing went to SQLite"
