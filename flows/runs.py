"""A run is a folder: a workspace of its own on the shared cache, and a record that is true from the first moment."""

from __future__ import annotations

import getpass
import json
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tasks.contracts import Mistake
from tasks.workspace import write_json

if TYPE_CHECKING:
    from flows.params import Asked

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


def create(root: Path, asked: Asked, *, how: str, force: bool = False) -> Run:
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
        raise Mistake(f"no run {run_id!r}; `bonsai runs` lists them")
    return Run(folder, _read(folder))


def names(root: Path) -> list[str]:
    """The ids of all runs, newest first, without reading any."""
    try:
        with os.scandir(root / "runs") as entries:
            return sorted((entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")), reverse=True)
    except FileNotFoundError:
        return []


def every(root: Path, *, since: str = "") -> Iterator[Run]:
    """The runs whose id is not below `since`, newest first, read one by one; one without a readable record is passed over."""
    for name in names(root):
        if name < since:
            return
        folder = root / "runs" / name
        record = _read(folder)
        if record:
            yield Run(folder, record)


def under_way(root: Path) -> Iterator[Run]:
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
    return found if found in FINAL or alive(run.record.get("process")) else "Crashed"


def identity(pid: int = 0) -> dict[str, Any]:
    """What tells a process, this one by default, from any other, later ones with the same number included."""
    pid = pid or os.getpid()
    return {"pid": pid, "started": _started(pid), "boot": _boot(), "host": socket.gethostname()}


def alive(process: Mapping[str, Any] | None) -> bool:
    """Whether the process with that identity still runs; one of another host is taken to be."""
    if not process:
        return False
    if process.get("host") != socket.gethostname():
        return True
    return process.get("boot") == _boot() and process.get("started") == _started(int(process["pid"]))


def end_group(process: Mapping[str, Any] | None, sig: signal.Signals = signal.SIGKILL) -> None:
    """End the process group that the process leads, if it is still that process."""
    if process and process.get("host") == socket.gethostname() and alive(process):
        try:
            os.killpg(int(process["pid"]), sig)
        except ProcessLookupError:
            return


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


def _new_id(asked: Asked) -> str:
    names = "-".join(asked.use_cases).replace("_", "-").lower()
    if len(names) > 32:
        names = f"{len(asked.use_cases)}-use-cases"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{names}-{secrets.token_hex(2)}"


def _first_record(root: Path, asked: Asked, how: str, force: bool) -> dict[str, Any]:
    return {
        "state": "Pending",
        "error": "",
        "use_cases": list(asked.use_cases),
        "recipes": list(asked.recipes),
        "overrides": asked.overrides,
        "whole": asked.whole,
        "force": force,
        "params_hash": asked.hash,
        "asked": {"who": getpass.getuser(), "how": how, "command": sys.argv},
        "created_at": now(),
        "started_at": "",
        "ended_at": "",
        "process": identity(),
        "prefect": {},
        "code": _code(root),
        "machine": _machine(),
        "stages": {},
        "results": {},
        "reflected": False,
    }


def _code(root: Path) -> dict[str, Any]:
    """The git commit of the code, and whether tasks/, dvc.yaml or params.yaml differ from it; empty without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=normal", "--", "tasks", "dvc.yaml", "params.yaml")
    except (OSError, subprocess.SubprocessError):
        return {"commit": "", "dirty": None}
    return {"commit": commit, "dirty": bool(changed)}


def _machine() -> dict[str, Any]:
    versions = {}
    for name in ("torch", "onnxruntime", "dvc", "prefect"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))


def _started(pid: int) -> str:
    """When the process began, in a form that stays the same while it lives; empty if there is none."""
    try:
        if sys.platform == "linux":
            # after the name in parentheses, which may hold anything: field 22 of proc(5), clock ticks since boot
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
        return str(psutil.Process(pid).create_time())
    except (OSError, psutil.Error):
        return ""


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
