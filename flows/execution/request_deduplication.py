"""Request deduplication: identical requests share one run while it is pending or running."""

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
from tasks.core.storage.atomic_files import hash_json

POLL_S = 0.3


def request_hash(root: Path, request: RunRequest, *, force: bool) -> str:
    """A hash that identical requests share: of the parameters, the code as it is now, and whether all stages are forced."""
    files = (path for path in (root / "tasks").rglob("*.py"))
    stats = sorted((str(path), (stat := path.stat()).st_mtime_ns, stat.st_size) for path in (*files, root / "dvc.yaml"))
    return hash_json([request.hash, request.unmodified, force, stats])


def request_once(root: Path, parameters: Mapping[str, Any], request: Callable[[str], tuple[str, bool]]) -> str:
    """Request a run from a server; identical requests until that run has ended get the same run. Returns its id.

    `request(key)` sends the request with that idempotency key and returns the run's id and whether the run has already ended.
    """
    name = hash_json(dict(parameters))[:24]
    counter_file = root / ".bonsai" / "requests" / name
    with hold_lock(root / ".bonsai" / "locks" / "asking"):
        counter_file.parent.mkdir(parents=True, exist_ok=True)
        count = int(counter_file.read_text()) if counter_file.exists() else 0
        while True:
            run_id, ended = request(f"{name}-{count}")
            if not ended:
                return run_id
            count += 1
            counter_file.write_text(str(count))


@contextmanager
def single_flight(root: Path, request: str, show: RunDisplay) -> Iterator[Run | None]:
    """Let one process at a time execute this request; `request` is its hash.

    Yields None to the process that is to execute it. If another process executes it already, shows that run until it ends and
    then yields it.
    """
    followed = ""
    while True:
        active = next((run for run in run_record.active_runs(root) if _is_same_request(run, request)), None)
        if active is None and followed:
            yield run_record.find(root, followed)
            return
        if active is None and (lock := try_lock(root / ".bonsai" / "locks" / "requests" / request[:24])):
            with lock:
                yield None
            return
        if active and active.id != followed:
            followed = active.id
            show.begin(followed, list(active.record["stages"]))
            show.message("the same request is already running; following that run", "dim")
            _follow(active, show)
        else:
            time.sleep(POLL_S)


def _is_same_request(run: Run, request: str) -> bool:
    return run.record.get("request") == request and os_processes.is_alive(run.record.get("process"))


def _follow(run: Run, show: RunDisplay) -> None:
    """RunDisplay the state changes of the run's stages until the run or its process ends."""
    shown: dict[str, str] = {}
    while True:
        record = run_record.find(run.folder.parent.parent, run.id).record
        for name, entry in record["stages"].items():
            state = entry["state"]
            if state not in ("Pending", "Queued", shown.get(name)):
                show.stage(name, state, entry.get("error", ""))
                shown[name] = state
        if record["state"] in run_record.FINAL_STATES or not os_processes.is_alive(record.get("process")):
            return
        time.sleep(POLL_S)
