"""Mend what a kill left: runs that still say Running, stages without a conductor, DVC's two files that are written in place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import yaml

from flows.runs import run_record
from flows.runs.run_record import Run
from flows.system import os_processes
from flows.system.file_locks import hold_lock
from tasks.core.atomic_files import write_json

PARTIAL = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.(retired\.)?partial")


def recover(root: Path) -> list[str]:
    """Mend the project and every run that died; says in one line each what was done."""
    done: list[str] = []
    with hold_lock(root / ".bonsai" / "locks" / "heal"):
        for run in run_record.active_runs(root):
            if not os_processes.is_alive(run.record.get("process")):
                mark_crashed(root, run)
                done.append(f"run {run.id} had died at work; it is now Crashed")
        done += [*repair_dvc_files(root), *_partials(root)]
    return done


def mark_crashed(root: Path, run: Run) -> None:
    """A run whose process died: end what it left working, keep its checkpoints for the next run, and say so in its record."""
    for name, entry in run.record.get("stages", {}).items():
        if entry.get("state") in ("Running", "Queued"):
            os_processes.kill_group(entry.get("process"))
            save_checkpoints(root, run.folder, name, entry.get("key", ""))
            entry.update(state="Crashed", error="its conductor died", ended_at=run_record.now())
        elif entry.get("state") == "Pending":
            entry.update(state="NotRun")
    run.note(state="Crashed", error="its process died", ended_at=run_record.now())
    for _ in (*repair_dvc_files(run.folder), *_partials(run.folder)):
        continue


def save_checkpoints(root: Path, folder: Path, stage: str, key: str) -> None:
    """Put an unfinished stage's checkpoints where the next run that has the same stage to play finds them."""
    scratch, kept = folder / ".bonsai" / "scratch" / stage, root / ".bonsai" / "kept" / key
    if key and scratch.is_dir() and any(scratch.iterdir()):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        scratch.rename(kept)


def restore_checkpoints(root: Path, folder: Path, stage: str, key: str) -> bool:
    """Give a stage the checkpoints that an unfinished run of the same key left; whether there were any."""
    scratch, kept = folder / ".bonsai" / "scratch" / stage, root / ".bonsai" / "kept" / key
    if scratch.exists() or not kept.is_dir():
        return False
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        kept.rename(scratch)
    except FileNotFoundError:  # another run was faster
        return False
    return True


def repair_dvc_files(folder: Path) -> Iterator[str]:
    """DVC's rwlock and dvc.lock, which a kill can leave empty or cut short, so that every later DVC command fails."""
    rwlock, lock = folder / ".dvc" / "tmp" / "rwlock", folder / "dvc.lock"
    if rwlock.exists():
        with hold_lock(rwlock.with_name("rwlock.lock")):  # as DVC does while it edits the file
            if _drop_the_dead(rwlock):
                yield f"took out of {rwlock} what a killed DVC command had left"
    if lock.exists() and not _sound_lock(lock):
        with hold_lock(folder / ".dvc" / "tmp" / "lock"):  # unless a live DVC command is writing it at this moment
            if _sound_lock(lock):
                return
            aside = lock.with_name(f"dvc.lock.broken-{datetime.now(UTC):%Y%m%d-%H%M%S}")
            lock.rename(aside)
            committed = _committed(folder, lock.name)
            if committed:
                lock.write_text(committed, encoding="utf-8")
            source = "the last commit's took its place" if committed else "the next run makes it anew from the cache"
            yield f"{lock} was cut short; it is kept as {aside.name} and {source}"


def _drop_the_dead(rwlock: Path) -> bool:
    """Take out the entries of processes that are gone, or the whole file if it cannot be read; whether anything was done."""
    try:
        found = json.loads(rwlock.read_text(encoding="utf-8"))
        since = rwlock.stat().st_mtime
        write = {path: holder for path, holder in found.get("write", {}).items() if _began_before(holder["pid"], since)}
        read = {
            path: living
            for path, holders in found.get("read", {}).items()
            if (living := [holder for holder in holders if _began_before(holder["pid"], since)])
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        rwlock.unlink()
        return True
    if (write, read) == (found.get("write", {}), found.get("read", {})):
        return False
    write_json(rwlock, {"write": write, "read": read})
    return True


def _began_before(pid: int, time: float) -> bool:
    """Whether that process lives and is older than `time`: a younger one only has the number of the one that died."""
    try:
        return bool(psutil.Process(pid).create_time() <= time + 1)
    except psutil.NoSuchProcess:
        return False


def _sound_lock(lock: Path) -> bool:
    """Whether dvc.lock is the YAML that DVC wrote."""
    return _sound(lock.read_text(encoding="utf-8", errors="replace"))


def _sound(text: str) -> bool:
    try:
        found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return False
    return isinstance(found, dict) and "schema" in found and isinstance(found.get("stages", {}), dict)


def _committed(folder: Path, name: str) -> str:
    """The file as the last git commit has it, if it is sound."""
    command = ["git", "-C", str(folder), "show", f"HEAD:./{name}"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return text if _sound(text) else ""


def _partials(folder: Path) -> Iterator[str]:
    """Drafts of artifacts and of plans whose writer is gone."""
    for path in (*folder.glob("data/**/.*.partial"), *folder.glob(".bonsai/plans/.*.partial")):
        found = PARTIAL.fullmatch(path.name)
        if found and not psutil.pid_exists(int(found["pid"])):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            yield f"removed {path.relative_to(folder)}, whose writer was killed"
