"""A run is a folder: its own workspace on the shared cache, and a record, run.json, that is kept up to date from its start."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.system.os_processes import identity, is_alive
from flows.system.provenance import code_version, machine_info
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_json

if TYPE_CHECKING:
    from flows.parameters.run_request import RunRequest

RECORD_FILE = "run.json"
RECENT_RUNS = 30
"""How many runs are read to find an earlier one that is like a new one."""
FINAL_STATES = ("Completed", "Failed", "Cancelled", "Crashed")


@dataclass(slots=True)
class Run:
    """A run's folder and the content of its record. Threads may share it."""

    folder: Path
    record: dict[str, Any]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> str:
        return self.folder.name

    def update(self, **fields: Any) -> None:
        """Set these fields of the record and write it."""
        with self._lock:
            self.record.update(fields)
            write_json(self.folder / RECORD_FILE, self.record)
            marker = self.folder.parent.parent / ".bonsai" / "live" / self.id
            if self.record["state"] in FINAL_STATES:
                marker.unlink(missing_ok=True)
            else:
                marker.parent.mkdir(parents=True, exist_ok=True)
                marker.touch()

    def update_stage(self, name: str, **fields: Any) -> None:
        """Set these fields of a stage's entry, such as its state, times, cost, error or outputs, and write the record."""
        with self._lock:
            self.record["stages"].setdefault(name, {}).update(fields)
            write_json(self.folder / RECORD_FILE, self.record)


def now() -> str:
    """The current time in UTC with milliseconds, as records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def create(root: Path, request: RunRequest, *, trigger: str, force: bool = False) -> Run:
    """Create a run's folder, with nothing in it but its record in state Pending.

    `trigger` names the entry point by which the run was requested, such as "command line".
    """
    folder = root / "runs" / _new_id(request)
    while folder.exists():
        folder = folder.with_name(_new_id(request))
    folder.mkdir(parents=True)
    run = Run(folder, _initial_record(root, request, trigger, force))
    run.update()
    return run


def find(root: Path, run_id: str) -> Run:
    """The run with that id; raises `UserError` if there is none. An id is a folder's name, never a path."""
    folder = root / "runs" / run_id
    if "/" in run_id or run_id.startswith(".") or not (folder / RECORD_FILE).is_file():
        raise UserError(f"no run {run_id!r}; `bonsai runs` lists them")
    return Run(folder, _read(folder))


def run_ids(root: Path) -> list[str]:
    """The ids of all runs, newest first; no record is read."""
    try:
        with os.scandir(root / "runs") as entries:
            return sorted((entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")), reverse=True)
    except FileNotFoundError:
        return []


def iter_runs(root: Path, *, since: str = "") -> Iterator[Run]:
    """The runs whose id is at least `since`, newest first, read one by one; one without a readable record is skipped."""
    for name in run_ids(root):
        if name < since:
            return
        folder = root / "runs" / name
        record = _read(folder)
        if record:
            yield Run(folder, record)


def recent_runs(root: Path) -> Iterator[Run]:
    """The newest runs, read one by one."""
    return islice(iter_runs(root), RECENT_RUNS)


def active_runs(root: Path) -> Iterator[Run]:
    """The runs whose record is not in a final state; marker files make this fast however many runs there are."""
    for marker in sorted((root / ".bonsai" / "live").glob("*")):
        folder = root / "runs" / marker.name
        record = _read(folder)
        if record and record.get("state") not in FINAL_STATES:
            yield Run(folder, record)
        else:
            marker.unlink(missing_ok=True)


def state(run: Run) -> str:
    """The run's state; Crashed when its record is not in a final state and its process is gone."""
    recorded = str(run.record.get("state", "Crashed"))
    return recorded if recorded in FINAL_STATES or is_alive(run.record.get("process")) else "Crashed"


def duration_s(record: Mapping[str, Any]) -> float:
    """How long a run took, or has taken so far; 0 if it has not started."""
    if not record.get("started_at"):
        return 0.0
    end = datetime.fromisoformat(record["ended_at"] or now())
    return (end - datetime.fromisoformat(record["started_at"])).total_seconds()


def read_results(folder: Path, use_cases: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """The table and the verdict of each use case's release in a workspace, by use case."""
    results: dict[str, Any] = {}
    for name in use_cases:
        release = folder / "data" / name / "release"
        for part in ("table", "verdict"):
            if (release / f"{part}.json").is_file():
                results.setdefault(name, {})[part] = json.loads((release / f"{part}.json").read_text(encoding="utf-8"))
    return results


def _new_id(request: RunRequest) -> str:
    run_ids = "-".join(request.use_cases).replace("_", "-").lower()
    if len(run_ids) > 32:
        run_ids = f"{len(request.use_cases)}-use-cases"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{run_ids}-{secrets.token_hex(2)}"


def _initial_record(root: Path, request: RunRequest, trigger: str, force: bool) -> dict[str, Any]:
    return {
        "state": "Pending",
        "error": "",
        "use_cases": list(request.use_cases),
        "recipes": list(request.recipes),
        "overrides": request.overrides,
        "whole": request.unmodified,
        "force": force,
        "params_hash": request.hash,
        "asked": {"who": getpass.getuser(), "how": trigger, "command": sys.argv},
        "created_at": now(),
        "started_at": "",
        "ended_at": "",
        "process": identity(),
        "prefect": {},
        "code": code_version(root),
        "machine": machine_info(),
        "stages": {},
        "results": {},
        "reflected": False,
    }


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
