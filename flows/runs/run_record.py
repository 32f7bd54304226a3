"""A run is a folder: a workspace of its own on the shared cache, and a record that is true from the first moment."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.system.os_processes import identity, is_alive
from flows.system.provenance import code_version, machine_info
from tasks.core.atomic_files import write_json
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from flows.parameters.run_request import RunRequest

RECORD = "run.json"
FINAL = ("Completed", "Failed", "Cancelled", "Crashed")


@dataclass(slots=True)
class Run:
    """One run's folder and its record. Threads may share it."""

    folder: Path
    record: dict[str, Any]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> str:
        return self.folder.name

    def note(self, **fields: Any) -> None:
        """Write these fields of the record."""
        with self._lock:
            self.record.update(fields)
            write_json(self.folder / RECORD, self.record)
            mark = self.folder.parent.parent / ".bonsai" / "live" / self.id
            if self.record["state"] in FINAL:
                mark.unlink(missing_ok=True)
            else:
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()

    def note_stage(self, name: str, **fields: Any) -> None:
        """Write these fields of a stage's entry: state, times, attempt, cost, error, outputs."""
        with self._lock:
            self.record["stages"].setdefault(name, {}).update(fields)
            write_json(self.folder / RECORD, self.record)

    def journal(self, stage: str) -> Path:
        return self.folder / "journal" / f"{stage}.jsonl"


def now() -> str:
    """The time, as records write it: UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def create(root: Path, asked: RunRequest, *, how: str, force: bool = False) -> Run:
    """A new run's folder, with nothing in it but its record, which says Pending.

    `how` says by which door it was asked for, such as "command line".
    """
    folder = root / "runs" / _new_id(asked)
    while folder.exists():
        folder = folder.with_name(_new_id(asked))
    folder.mkdir(parents=True)
    run = Run(folder, _first_record(root, asked, how, force))
    run.note()
    return run


def find(root: Path, run_id: str) -> Run:
    """The run of that id; looked up by name among the runs, never by path."""
    folder = root / "runs" / run_id
    if "/" in run_id or run_id.startswith(".") or not (folder / RECORD).is_file():
        raise UserError(f"no run {run_id!r}; `bonsai runs` lists them")
    return Run(folder, _read(folder))


def run_ids(root: Path) -> list[str]:
    """The ids of all runs, newest first, without reading any."""
    try:
        with os.scandir(root / "runs") as entries:
            return sorted((entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")), reverse=True)
    except FileNotFoundError:
        return []


def iter_runs(root: Path, *, since: str = "") -> Iterator[Run]:
    """The runs whose id is not below `since`, newest first, read one by one; one without a readable record is passed over."""
    for name in run_ids(root):
        if name < since:
            return
        folder = root / "runs" / name
        record = _read(folder)
        if record:
            yield Run(folder, record)


def active_runs(root: Path) -> Iterator[Run]:
    """The runs whose record says that they are not done yet; found by their marks, however many runs there are."""
    for mark in sorted((root / ".bonsai" / "live").glob("*")):
        folder = root / "runs" / mark.name
        record = _read(folder)
        if record and record.get("state") not in FINAL:
            yield Run(folder, record)
        else:
            mark.unlink(missing_ok=True)


def state(run: Run) -> str:
    """The run's state; Crashed when its record says it is under way but its process is gone."""
    found = str(run.record.get("state", "Crashed"))
    return found if found in FINAL or is_alive(run.record.get("process")) else "Crashed"


def seconds(record: Mapping[str, Any]) -> float:
    """How long a run took, or has taken so far."""
    if not record.get("started_at"):
        return 0.0
    end = datetime.fromisoformat(record["ended_at"] or now())
    return (end - datetime.fromisoformat(record["started_at"])).total_seconds()


def results(folder: Path, use_cases: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """What the releases in a workspace say: table and verdict by use case."""
    found: dict[str, Any] = {}
    for name in use_cases:
        release = folder / "data" / name / "release"
        for part in ("table", "verdict"):
            if (release / f"{part}.json").is_file():
                found.setdefault(name, {})[part] = json.loads((release / f"{part}.json").read_text(encoding="utf-8"))
    return found


def _new_id(asked: RunRequest) -> str:
    run_ids = "-".join(asked.use_cases).replace("_", "-").lower()
    if len(run_ids) > 32:
        run_ids = f"{len(asked.use_cases)}-use-cases"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{run_ids}-{secrets.token_hex(2)}"


def _first_record(root: Path, asked: RunRequest, how: str, force: bool) -> dict[str, Any]:
    return {
        "state": "Pending",
        "error": "",
        "use_cases": list(asked.use_cases),
        "recipes": list(asked.recipes),
        "overrides": asked.overrides,
        "whole": asked.unmodified,
        "force": force,
        "params_hash": asked.hash,
        "asked": {"who": getpass.getuser(), "how": how, "command": sys.argv},
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
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
