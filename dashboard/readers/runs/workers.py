"""Workers: the flow runner of `bonsai up`, the processes of active runs, and Prefect's own workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.text import formatting
from flows.system import file_locks, os_processes

NEWEST = 30
"""Active runs are looked for among this many runs."""
SLOTS_FOLDER = Path(".bonsai") / "slots"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that executes runs or waits for them."""

    name: str
    kind: Literal["runner", "run", "pool"]
    state: str
    """`busy` or `idle`; for Prefect's own workers, the state that Prefect reports."""
    at: str
    """Start time; for Prefect's own workers, the last heartbeat."""
    processes: int | None = None
    memory_bytes: int | None = None
    stages: tuple[str, ...] = ()
    """The stages that it executes now."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The slots of the machine, and what waits for them."""

    slots: int
    """One per CPU that may be used, or as BONSAI_SLOTS says."""
    held: int
    """Slots that stages hold now."""
    stages: tuple[tuple[str, str], ...]
    """Run and name of each stage that waits for a slot."""


def list_workers(root: Path) -> list[Worker]:
    """All current workers; one that ends meanwhile is left out."""
    return [*_runner(root), *_runs(root), *_pools(root)]


def queue(root: Path) -> Queue:
    """The slots of the machine and the stages that wait for them, of all active runs."""
    waiting = [
        (run.id, name)
        for run in run_records.latest(root, count=NEWEST)
        if run.live
        for name, entry in run.record.stages.items()
        if entry.state == "Queued"
    ]
    total = file_locks.machine_slots()
    return Queue(total, file_locks.held_slots(root / SLOTS_FOLDER, total), tuple(waiting))


def _runner(root: Path) -> Iterator[Worker]:
    try:
        pid = int(json.loads((root / ".prefect" / "runner.json").read_text(encoding="utf-8"))["pid"])
        process = psutil.Process(pid)
        if "flows.services.flow_runner" in process.cmdline():
            yield Worker(f"pid {pid}", "runner", "idle", _since(process), 1, process.memory_info().rss)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return


def _runs(root: Path) -> Iterator[Worker]:
    for run in run_records.latest(root, count=NEWEST):
        process = run.record.process
        if not run.live or not process or not os_processes.is_alive(process):
            continue
        try:
            own = psutil.Process(int(process["pid"]))
            family = [own, *own.children(recursive=True)]
            stages = tuple(name for name, entry in run.record.stages.items() if entry.state == "Running")
            yield Worker(run.id, "run", "busy", _since(own), len(family), sum(map(_memory, family)), stages)
        except (KeyError, ValueError, psutil.Error):
            continue


def _pools(root: Path) -> Iterator[Worker]:
    server = prefect_api.server(root)
    try:
        for each in server.workers() if server else ():
            yield Worker(f"{each.name} ({each.pool})", "pool", formatting.clean(each.status, 40).lower(), each.last_heartbeat)
    except Unreadable:
        return  # the page reports elsewhere that no server responds


def _since(process: psutil.Process) -> str:
    return datetime.fromtimestamp(process.create_time(), UTC).isoformat()


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
