"""The kill campaign: server, monitor and registry writer are killed at random moments, and what they left is examined.

After each kill there is exactly one champion, the history only grew, every version is whole, every file of the request log can be
read, no row and no right answer that was on disk is lost, and the report of the monitor is whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from flows import promotion
from flows.monitoring import alarms, one_pass
from flows.registry import history, versions
from flows.request_log import feedback, reader
from flows.request_log.records import segments
from tests.faults.killed_roles import ERRORS, ROLES
from tests.support import recorded_requests, recorded_runs
from tests.support.bonsai_process import has_ended, wait_for
from tests.support.recorded_requests import USE_CASE
from tests.support.toy_project import REPOSITORY

MOST_S = 0.8
"""The most seconds between two kills, beyond those that a killed process takes to be back."""


@dataclass(slots=True)
class Outcome:
    """What the campaign did and found."""

    kills: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    unanswered: int = 0
    """Requests whose server was killed."""
    labelled: int = 0
    events: int = 0
    versions: int = 0
    log_rows: int = 0
    failures: list[str] = field(default_factory=list)


class Campaign:
    """A project, its three processes, and what a client knows."""

    def __init__(self, root: Path) -> None:
        self.root, self.outcome = root, Outcome()
        self.pictures = recorded_requests.drawn(recorded_requests.held_out(recorded_requests.project_with_champion(root)), 20)
        recorded_requests.recorded_run(root, 1)
        self.on_disk: set[str] = set()
        """The requests whose rows an earlier examination found: no kill may lose them."""
        self.labelled: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.pids: dict[str, int] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.faults.killed_roles", str(root), str(self.port)]
        pipe = subprocess.PIPE
        self.parent = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdin=pipe, stdout=pipe, text=True)

    def start(self, role: str) -> None:
        assert self.parent.stdin
        assert self.parent.stdout
        self.parent.stdin.write(f"{role}\n")
        self.parent.stdin.flush()
        self.pids[role] = int(self.parent.stdout.readline())
        if role == "server":
            wait_for(self._is_ready, 60)

    def kill(self, role: str) -> None:
        """Kill a process with all that it started."""
        with suppress(ProcessLookupError):  # it ended by itself, which `_unaided` tells
            os.killpg(self.pids[role], signal.SIGKILL)
        wait_for(lambda: has_ended(self.pids[role]), 20)

    def talk(self, number: int) -> None:
        """Send a picture and, for some, the right answer; both may meet a dying server."""
        try:
            file = [("files", ("picture.png", self.pictures[number % len(self.pictures)]))]
            content = self.client.post(f"/{USE_CASE}/predict/files", files=file).json()
            self.outcome.answered += 1
            if number % 5 == 0:
                entry = {"request_id": content["request_id"], "label": "1"}
                assert self.client.post("/feedback", json=entry).json()["stored"] == 1
                self.labelled.append(content["request_id"])
        except httpx.TransportError:
            self.outcome.unanswered += 1
            time.sleep(0.02)

    def examine(self) -> list[str]:
        """What is wrong with what the killed process left, as sentences."""
        return [f"{name}: {error}" for name, check in CHECKS.items() for error in _errors(check, self)]

    def close(self) -> None:
        for role in self.pids:
            self.kill(role)
        self.client.close()
        with self.parent:
            assert self.parent.stdin
            self.parent.stdin.close()

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/ready").status_code == 200
        except httpx.TransportError:
            assert not has_ended(self.pids["server"]), "the server ended: " + "".join(_own_errors(self.root))
            return False


def _own_errors(root: Path) -> Iterator[str]:
    """The errors by which processes ended by themselves, which are then forgotten."""
    path = root / ERRORS
    if path.exists():
        yield path.read_text()[-600:]
        path.unlink()


def _errors(check: Callable[[Campaign], None], campaign: Campaign) -> Iterator[str]:
    try:
        check(campaign)
    except Exception as error:
        yield f"{type(error).__name__}: {str(error)[:400]}"


def _registry(campaign: Campaign) -> None:
    registered = history.read(campaign.root, USE_CASE)
    assert registered.events[: len(campaign.events)] == campaign.events, "an event of the history changed"
    campaign.events = registered.events
    champion = registered.at(history.CHAMPION)
    assert champion is not None, "no champion"
    assert sorted(registered.versions) == sorted({event["version"] for event in registered.events}), "a version is not registered"
    for version in registered.versions.values():
        versions.version_folder(campaign.root, version)
    assert versions.is_cached(campaign.root, champion)


def _request_log(campaign: Campaign) -> None:
    for path in segments(campaign.root, USE_CASE):
        try:
            pq.read_table(path, partitioning=None)
        except FileNotFoundError:  # merged meanwhile
            continue
    rows = reader.read_requests(campaign.root, USE_CASE, columns=["request_id", "position", "model", "error"])
    campaign.outcome.log_rows = len(rows)
    missing = campaign.on_disk - set(rows["request_id"])
    assert not missing, f"{len(missing)} of {len(campaign.on_disk)} rows that were on disk are lost"
    campaign.on_disk = set(rows["request_id"])
    assert rows["request_id"].is_unique
    assert (rows["error"] == "").all()


def _feedback(campaign: Campaign) -> None:
    missing = set(campaign.labelled) - set(feedback.read_feedback(campaign.root, USE_CASE)["request_id"])
    assert not missing, f"{len(missing)} stored right answers are not there"


def _monitor(campaign: Campaign) -> None:
    path = campaign.root / "monitoring" / USE_CASE / one_pass.REPORT
    assert not path.exists() or one_pass.read_report(campaign.root, USE_CASE), "the report is damaged"
    names = [(event["model"], event["kind"], event["name"]) for event in alarms.read_events(campaign.root, USE_CASE)]
    assert len(names) == len(set(names)), "an alarm was raised twice"


def _unaided(campaign: Campaign) -> None:
    assert not (found := list(_own_errors(campaign.root))), f"a process ended by itself: {found[0]}"


CHECKS = {"registry": _registry, "request log": _request_log, "feedback": _feedback, "monitor": _monitor, "processes": _unaided}


@contextmanager
def campaign() -> Iterator[Campaign]:
    with tempfile.TemporaryDirectory() as folder:
        running = Campaign(recorded_runs.project(Path(folder) / "p"))
        try:
            yield running
        finally:
            running.close()


def run(kills: int, seed: int, on_kill: Callable[[str], None] = lambda line: None) -> Outcome:
    """Kill one of the three processes at a time, at moments drawn by the seed, and examine what is left."""
    draw, number = random.Random(seed), 0
    with campaign() as work:
        outcome = work.outcome
        for role in ROLES:
            work.start(role)
        for kill in range(kills):
            role = draw.choice(list(ROLES))
            killer = threading.Timer(draw.uniform(0.05, MOST_S), work.kill, [role])
            killer.start()
            while killer.is_alive():
                work.talk(number)
                number += 1
            outcome.kills[role] += 1
            found = work.examine()
            outcome.failures += [f"kill {kill + 1} of the {role}: {error}" for error in found]
            work.start(role)
            on_kill(f"{kill + 1} {role} {json.dumps(found)}")
        _examine_at_rest(work)
        registered = history.read(work.root, USE_CASE)
        outcome.labelled = len(work.labelled)
        outcome.events, outcome.versions = len(registered.events), len(registered.versions)
    return outcome


def _examine_at_rest(work: Campaign) -> None:
    """Without the writer, the server answers with the champion, and a promotion, a rollback and a look at the log work."""
    work.kill("registry writer")
    work.kill("monitor")
    champion = history.read(work.root, USE_CASE).at(history.CHAMPION)
    assert champion is not None
    try:
        wait_for(lambda: work.client.get("/ready").json() == {USE_CASE: champion.name}, 20)
        other = next(name for name in history.read(work.root, USE_CASE).versions if name != champion.number)
        promotion.promote(work.root, USE_CASE, str(other), force=True)
        assert promotion.rollback(work.root, USE_CASE).version == champion
        report = one_pass.look(work.root, USE_CASE)
        assert report["model"] == champion.name
    except Exception as error:
        work.outcome.failures.append(f"at rest: {type(error).__name__}: {str(error)[:400]}")
    work.outcome.failures += [f"at rest: {error}" for error in work.examine()]
