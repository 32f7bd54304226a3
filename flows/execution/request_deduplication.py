"""Identical requests make one run: who asks for what is already asked for or under way joins it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.parameters.run_request import RunRequest
from flows.reporting.console import RunDisplay
from flows.runs import run_record
from flows.runs.run_record import Run
from flows.system import os_processes
from flows.system.file_locks import hold_lock, try_lock
from tasks.core.atomic_files import hash_json

LOOK_S = 0.3


def request_hash(root: Path, asked: RunRequest, *, force: bool) -> str:
    """What makes two requests the same: parameters, code as it is now, and whether all is to be played again."""
    files = (path for path in (root / "tasks").rglob("*.py"))
    stats = sorted((str(path), (stat := path.stat()).st_mtime_ns, stat.st_size) for path in (*files, root / "dvc.yaml"))
    return hash_json([asked.hash, asked.unmodified, force, stats])


def once(root: Path, parameters: Mapping[str, Any], ask: Callable[[str], tuple[str, bool]]) -> str:
    """Ask a server for a run such that everyone who asks the same until that run has ended gets the same one; gives its id.

    `ask(key)` asks with that idempotency key, and answers the run's id and whether it has ended already.
    """
    name = hash_json(dict(parameters))[:24]
    memory = root / ".bonsai" / "requests" / name
    with hold_lock(root / ".bonsai" / "locks" / "asking"):
        memory.parent.mkdir(parents=True, exist_ok=True)
        count = int(memory.read_text()) if memory.exists() else 0
        while True:
            found, ended = ask(f"{name}-{count}")
            if not ended:
                return found
            count += 1
            memory.write_text(str(count))


@contextmanager
def alone(root: Path, request: str, show: RunDisplay) -> Iterator[Run | None]:
    """Be the only process that makes this run: gives None to the one that is to make it, and the others its end.

    Whoever finds another at it watches until that one is done.
    """
    seen = ""
    while True:
        twin = next((run for run in run_record.active_runs(root) if _same(run, request)), None)
        if twin is None and seen:
            yield run_record.find(root, seen)
            return
        if twin is None and (lock := try_lock(root / ".bonsai" / "locks" / "requests" / request[:24])):
            with lock:
                yield None
            return
        if twin and twin.id != seen:
            seen = twin.id
            show.begin(seen, list(twin.record["stages"]))
            show.message("the same is asked for and under way already; this is that run", "dim")
            _watch(twin, show)
        else:
            time.sleep(LOOK_S)


def _same(run: Run, request: str) -> bool:
    return run.record.get("request") == request and os_processes.is_alive(run.record.get("process"))


def _watch(run: Run, show: RunDisplay) -> None:
    """Tell what becomes of the stages, until the run is done or its process gone."""
    told: dict[str, str] = {}
    while True:
        record = run_record.find(run.folder.parent.parent, run.id).record
        for name, entry in record["stages"].items():
            state = entry["state"]
            if state not in ("Pending", "Queued", told.get(name)):
                show.stage(name, state, entry.get("error", ""))
                told[name] = state
        if record["state"] in run_record.FINAL or not os_processes.is_alive(record.get("process")):
            return
        time.sleep(LOOK_S)
