"""Recover from killed processes: runs still marked Running, orphaned stages, and the two files that DVC writes in place."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from flows.dvc_state import cache_users
from flows.dvc_state.lock_file import committed_lock_text, is_valid_lock_text
from flows.runs import run_record
from flows.runs.record_schema import STAGE_NAME
from flows.runs.run_record import Run
from flows.system import os_processes
from flows.system.file_locks import hold_lock
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_json

KEY = re.compile(r"[0-9a-f]{1,64}")
"""A stage's key, see `StageStore.key`."""
PARTIAL_NAME = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.(retired\.)?partial")


def recover(root: Path) -> list[str]:
    """Repair the project and mark every run whose process died as Crashed; returns one line per repair."""
    repairs: list[str] = []
    cache_users.register(root)
    with hold_lock(root / ".bonsai" / "locks" / "heal"):
        for run in run_record.active_runs(root):
            if not os_processes.is_alive(run.record.get("process")):
                mark_crashed(root, run)
                repairs.append(f"the process of run {run.id} had died; it is now Crashed")
        repairs += [*repair_dvc_files(root), *_remove_partials(root)]
    return repairs


def mark_crashed(root: Path, run: Run) -> None:
    """Mark a run whose process died as Crashed: end its orphaned stages and save their checkpoints for the next run."""
    for name, entry in run.record.get("stages", {}).items():
        if entry.get("state") in ("Running", "Queued"):
            os_processes.kill_group(entry.get("process"))
            save_checkpoints(root, run.folder, name, entry.get("key", ""))
            entry.update(state="Crashed", error="the process of its run died", ended_at=run_record.now())
        elif entry.get("state") == "Pending":
            entry.update(state="NotRun")
    run.update(state="Crashed", error="its process died", ended_at=run_record.now())
    for _ in (*repair_dvc_files(run.folder), *_remove_partials(run.folder)):
        continue


def save_checkpoints(root: Path, folder: Path, stage: str, key: str) -> None:
    """Move an unfinished stage's checkpoints to where the next run of the same stage and key finds them.

    A partial file among them is removed: the stage that wrote it has ended.
    """
    scratch, saved = _checkpoint_folders(root, folder, stage, key)
    for path in list(scratch.rglob(".*.partial")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if key and scratch.is_dir() and any(scratch.iterdir()):
        saved.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(saved, ignore_errors=True)
        scratch.rename(saved)


def restore_checkpoints(root: Path, folder: Path, stage: str, key: str) -> bool:
    """Move the checkpoints that an unfinished run of the same stage and key left to this run; returns whether there were any."""
    scratch, saved = _checkpoint_folders(root, folder, stage, key)
    if scratch.exists() or not saved.is_dir():
        return False
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        saved.rename(scratch)
    except FileNotFoundError:  # another run took them first
        return False
    return True


def _checkpoint_folders(root: Path, folder: Path, stage: str, key: str) -> tuple[Path, Path]:
    """(the stage's checkpoints in a run's folder, those saved for the next run).

    A name or a key that could leave its folder, as in a record that somebody else wrote, is an error.
    """
    if not STAGE_NAME.fullmatch(stage) or ".." in stage or (key and not KEY.fullmatch(key)):
        raise UserError(f"{folder} has a stage {stage!r:.80} with the key {key!r:.80}, which are no names of a stage and its key")
    return folder / ".bonsai" / "scratch" / stage, root / ".bonsai" / "kept" / key


def repair_dvc_files(folder: Path) -> Iterator[str]:
    """Repair DVC's rwlock and dvc.lock, which a kill can leave truncated, so that every later DVC command would fail.

    Yields one line per repair.
    """
    rwlock, lock = folder / ".dvc" / "tmp" / "rwlock", folder / "dvc.lock"
    if rwlock.exists():
        with hold_lock(rwlock.with_name("rwlock.lock")):  # as DVC does while it edits the file
            if _remove_dead_holders(rwlock):
                yield f"removed the locks of a killed DVC command from {rwlock}"
    if lock.exists() and not _is_valid_lock_file(lock):
        with hold_lock(folder / ".dvc" / "tmp" / "lock"):  # a live DVC command may be writing it at this moment
            if _is_valid_lock_file(lock):
                return
            broken = lock.with_name(f"dvc.lock.broken-{datetime.now(UTC):%Y%m%d-%H%M%S}")
            lock.rename(broken)
            committed = committed_lock_text(folder)
            restored = is_valid_lock_text(committed)
            if restored:
                lock.write_text(committed, encoding="utf-8")
            source = "the last commit's took its place" if restored else "the next run makes a new one from the cache"
            yield f"{lock} was truncated; it is kept as {broken.name} and {source}"


def _remove_dead_holders(rwlock: Path) -> bool:
    """Remove the entries of processes that are gone, or the whole file if it is damaged; returns whether anything changed."""
    try:
        content = json.loads(rwlock.read_text(encoding="utf-8"))
        written_at = rwlock.stat().st_mtime
        write = {path: holder for path, holder in content.get("write", {}).items() if _lived_at(holder["pid"], written_at)}
        read = {
            path: living
            for path, holders in content.get("read", {}).items()
            if (living := [holder for holder in holders if _lived_at(holder["pid"], written_at)])
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        rwlock.unlink()
        return True
    if (write, read) == (content.get("write", {}), content.get("read", {})):
        return False
    write_json(rwlock, {"write": write, "read": read})
    return True


def _lived_at(pid: int, time: float) -> bool:
    """Whether that process lives and began before `time`; a later one only reuses the number of one that died."""
    try:
        return bool(psutil.Process(pid).create_time() <= time + 1)
    except psutil.NoSuchProcess:
        return False


def _is_valid_lock_file(lock: Path) -> bool:
    """Whether dvc.lock is complete."""
    return is_valid_lock_text(lock.read_text(encoding="utf-8", errors="replace"))


def _remove_partials(folder: Path) -> Iterator[str]:
    """Remove partial artifacts and plans whose writer is gone; yields one line for each."""
    for path in (*folder.glob("data/**/.*.partial"), *folder.glob(".bonsai/plans/.*.partial")):
        match = PARTIAL_NAME.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match["pid"])):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            yield f"removed {path.relative_to(folder)}, whose writer was killed"
