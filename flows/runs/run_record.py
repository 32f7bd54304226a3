"""A run is a folder: its own workspace on the shared cache, and a record, run.json, that is kept up to date from its start."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.runs import record_file
from flows.runs.record_file import DAMAGED, FINAL_STATES, RECORD_FILE
from flows.system.os_processes import identity, is_alive
from flows.system.provenance import code_version, machine_info
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact

__all__ = ["DAMAGED", "FINAL_STATES", "RECORD_FILE"]

if TYPE_CHECKING:
    from flows.parameters.run_request import RunRequest

RECENT_RUNS = 30
"""How many runs are read to find an earlier one that is like a new one."""
RUN_ID = re.compile(r"(?P<time>\d{8}-\d{6})-(?P<names>.+)-[0-9a-f]{4}")
"""A run id: time, use cases, and four random hexadecimal digits."""
FOREIGN_FILE = "pulled.json"
"""Is in the folder of a run that was pulled from a remote, and says from which."""
ID_TIME = "%Y%m%d-%H%M%S"


@dataclass(slots=True)
class Run:
    """A run's folder and the content of its record. Threads may share it."""

    folder: Path
    record: dict[str, Any]
    damage: str = ""
    """What is wrong with the file of its record; empty if nothing is."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def is_readable(self) -> bool:
        """Whether the record, or its copy, could be read."""
        return bool(self.record.get("state") != DAMAGED)

    def update(self, **fields: Any) -> None:
        """Set these fields of the record and write it."""
        with self._lock:
            self.record.update(fields)
            record_file.write(self.folder, self.record)
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
            record_file.write(self.folder, self.record)


def now() -> str:
    """The current time in UTC with milliseconds, as records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def create(root: Path, request: RunRequest, *, trigger: str, force: bool = False) -> Run:
    """Create a run's folder, with nothing in it but its record in state Pending.

    `trigger` names the entry point by which the run was requested, such as "command line".
    """
    folder = root / "runs" / _new_id(root, request)
    while folder.exists():
        folder = folder.with_name(_new_id(root, request))
    folder.mkdir(parents=True)
    run = Run(folder, _initial_record(root, request, trigger, force))
    run.update()
    return run


def find(root: Path, run_id: str) -> Run:
    """The run with that id; raises `UserError` if there is none. An id is a folder's name, never a path."""
    folder = root / "runs" / run_id
    if "/" in run_id or run_id.startswith(".") or not run_id or not folder.is_dir():
        raise UserError(f"no run {run_id!r}; `bonsai runs` lists them")
    run = _read(folder)
    if run is None:
        raise UserError(f"no run {run_id!r}; its folder is empty")
    if not run.is_readable:
        raise UserError(f"{run.damage}; {record_file.advice(folder)}")
    return run


def check_trust(run: Run, why: str) -> None:
    """Raise a `UserError` for a run that was pulled from a remote; `why` says what would be done with its code."""
    if is_foreign(run.folder):
        raise UserError(f"{run.id} was pulled from a remote, and {why}; read {run.folder / 'tasks'}, then add --trust")


def is_recorded(root: Path, run_id: str) -> bool:
    """Whether there is a run with that id here; its record may be damaged."""
    return bool(RUN_ID.fullmatch(run_id)) and "/" not in run_id and _read(root / "runs" / run_id) is not None


def run_ids(root: Path) -> list[str]:
    """The ids of all runs, newest first; no record is read."""
    try:
        with os.scandir(root / "runs") as entries:
            return sorted((entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")), reverse=True)
    except FileNotFoundError:
        return []


def iter_runs(root: Path, *, since: str = "") -> Iterator[Run]:
    """The runs whose id is at least `since`, newest first, read one by one.

    One whose record cannot be read is among them, in state Damaged; the folder of a run that was never recorded is not.
    """
    for name in run_ids(root):
        if name < since:
            return
        if run := _read(root / "runs" / name):
            yield run


def recent_runs(root: Path) -> Iterator[Run]:
    """The newest runs, read one by one."""
    return islice(iter_runs(root), RECENT_RUNS)


def active_runs(root: Path) -> Iterator[Run]:
    """The runs whose record is not in a final state; marker files make this fast however many runs there are."""
    for marker in sorted((root / ".bonsai" / "live").glob("*")):
        run = _read(root / "runs" / marker.name)
        if run and run.is_readable and run.record["state"] not in FINAL_STATES:
            yield run
        elif not run or run.is_readable:
            marker.unlink(missing_ok=True)


def state(run: Run) -> str:
    """The run's state; Crashed when its record is not in a final state and its process is gone, Damaged when it has none."""
    recorded = str(run.record.get("state", "Crashed"))
    return recorded if recorded in (*FINAL_STATES, DAMAGED) or is_alive(run.record.get("process")) else "Crashed"


def duration_s(record: Mapping[str, Any]) -> float:
    """How long a run took, or has taken so far; 0 if it has not started."""
    if not record.get("started_at"):
        return 0.0
    end = datetime.fromisoformat(record["ended_at"] or now())
    return (end - datetime.fromisoformat(record["started_at"])).total_seconds()


def read_results(folder: Path, use_cases: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """The table and the verdict of each use case's release in a workspace, by use case.

    Raises a `UserError` for a release that is damaged.
    """
    results: dict[str, Any] = {}
    for name in use_cases:
        release = Artifact(folder / "data" / name / "release")
        if release.path.is_dir():
            results[name] = {part: release.json(f"{part}.json") for part in ("table", "verdict") if _has(release, part)}
    return results


def _has(release: Artifact, part: str) -> bool:
    return (release.path / f"{part}.json").is_file()


def _new_id(root: Path, request: RunRequest) -> str:
    """An id that is greater than those of all earlier runs of this project, also when the clock was set back."""
    names = "-".join(request.use_cases).replace("_", "-").lower()
    if len(names) > 32:
        names = f"{len(request.use_cases)}-use-cases"
    moment = datetime.now(UTC)
    newest = next((run_id for run_id in run_ids(root) if RUN_ID.fullmatch(run_id) and not is_foreign(root / "runs" / run_id)), "")
    if newest[:15] > f"{moment:{ID_TIME}}":
        with suppress(ValueError, OverflowError):  # an id that only looks like one
            moment = datetime.strptime(newest[:15], ID_TIME).replace(tzinfo=UTC) + timedelta(seconds=1)
    return f"{moment:{ID_TIME}}-{names}-{secrets.token_hex(2)}"


def is_foreign(folder: Path) -> bool:
    """Whether the run in that folder was pulled from a remote, so that another project or another person made it."""
    return (folder / FOREIGN_FILE).exists()


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


def _read(folder: Path) -> Run | None:
    """The run in that folder; None when there is none, or when it was never recorded."""
    try:
        return Run(folder, *record_file.read(folder))
    except (FileNotFoundError, NotADirectoryError):
        return None
