"""Collect garbage: remove all but the newest and the pinned runs, and the cached objects that nothing refers to any more."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from dvc.config import Config

from flows.dvc_state import object_cache, run_cache
from flows.dvc_state.lock_file import LOADER
from flows.dvc_state.stage_state import open_repo
from flows.maintenance import references
from flows.maintenance.references import References
from flows.runs import record_file, recovery, run_record, search
from flows.runs.run_record import Run
from flows.services import prefect_database
from tasks.core.errors import UserError


@dataclass(slots=True)
class GcReport:
    """What is removed, or would be."""

    runs: list[str] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    run_cache_entries: list[Path] = field(default_factory=list)
    """Entries of DVC's run-cache that refer to removed objects."""
    freed_bytes: int = 0
    objects_kept_because: str = ""
    """Why no object is removed this time; empty when unused objects are."""
    unreadable: list[str] = field(default_factory=list)
    """A line for each file that may refer to objects and cannot be read."""
    repaired: list[str] = field(default_factory=list)
    """A line for each damaged record that its copy replaced."""


def collect_garbage(root: Path, *, keep: int = 20, dry_run: bool = False) -> GcReport:
    """Remove the folders of all runs but the newest `keep`, the pinned and the active ones, and the unused objects.

    An object is used if the record or the dvc.lock of a kept run, the dvc.lock of the project or of its last commit, or a
    version of the model registry refers to it, in this project or in another that uses the cache. If one of these cannot be
    read, no object is removed, and neither is a run without a readable record. While anybody uses the cache no object is
    removed, and nobody can begin to use it during the collection. Afterwards what had to stay is looked for.
    """
    recovery.recover(root)
    report, objects = GcReport(), object_cache.objects_folder(root)
    with (
        object_cache.exclusive_lock(objects) as unused,
        chdir(root),
        open_repo(root) as repo,
        repo.lock,  # no `dvc` command of the project runs meanwhile either
    ):
        kept, removed = _partition_runs(root, keep)
        report.runs = [run.id for run in removed]
        report.repaired = [line for run in kept if run.damage and (line := record_file.repair(run.folder))]
        refers = references.collect(root, kept)
        report.unreadable = refers.unreadable
        report.objects_kept_because = _reason_to_keep_objects(root, objects, unused, refers)
        if not report.objects_kept_because:
            report.objects = [path for path in objects.glob("??/*") if object_cache.object_hash(path) not in refers.hashes]
            removed_hashes = {object_cache.object_hash(path) for path in report.objects}
            entries = _run_cache_folder(objects).glob("??/*/*")
            report.run_cache_entries = [path for path in entries if _refers_to(path, removed_hashes)]
        report.freed_bytes = freed_bytes([run.folder for run in removed], report.objects)
        if not dry_run:
            present = [path for md5 in refers.hashes if (path := object_cache.object_path(objects, md5)).exists()]
            _remove(root, report)
            report.freed_bytes += prefect_database.prune(root, kept=_flow_runs(kept), removed=_flow_runs(removed))
            _check_removal(root, report, present)
    return report


def _flow_runs(runs: Iterable[Run]) -> set[str]:
    """The ids of these runs in Prefect."""
    return {str(run.record["prefect"]["flow_run_id"]) for run in runs if run.record["prefect"].get("flow_run_id")}


def _check_removal(root: Path, report: GcReport, needed: Iterable[Path]) -> None:
    """Raise a `UserError` if something that had to stay is gone, or something that had to go is there."""
    if gone := [path for path in needed if not path.exists()]:
        raise UserError(f"{len(gone)} objects that are needed are gone, such as {gone[0]}; `bonsai run` makes them again")
    left = [path for path in (*report.objects, *(root / "runs" / name for name in report.runs)) if path.exists()]
    if left:
        raise UserError(f"{len(left)} runs and objects could not be removed, such as {left[0]}; see whose they are")


def _partition_runs(root: Path, keep: int) -> tuple[list[Run], list[Run]]:
    """(runs to keep, runs to remove). One whose record cannot be read is kept, besides the newest `keep`."""
    active = {run.id for run in run_record.active_runs(root)}
    kept: list[Run] = []
    removed: list[Run] = []
    position = 0
    for run in run_record.iter_runs(root):
        is_kept = position < keep or not run.is_readable or run.id in active or search.read_annotation(run.folder).pinned
        (kept if is_kept else removed).append(run)
        position += run.is_readable
    return kept, removed


def _reason_to_keep_objects(root: Path, objects: Path, unused: bool, refers: References) -> str:
    if Config(str(root / ".dvc"))["cache"].get("dir") and not objects.resolve().is_relative_to(root.resolve()):
        return f"the cache {objects} may be shared with other projects; use `dvc gc --projects`, which can consider them"
    if not unused:
        return "a run is active; its objects and all others are kept until the next time"
    if refers.unreadable:
        return f"no object is removed, since {len(refers.unreadable)} things that may refer to objects cannot be read"
    return ""


def _refers_to(run_cache_entry: Path, hashes: set[str]) -> bool:
    """Whether an entry of the run-cache refers to one of these objects; without them it can restore nothing."""
    try:
        entry = yaml.load(run_cache_entry.read_text(encoding="utf-8"), LOADER)
        return any(out.get("md5") in hashes for out in entry.get("outs", ()))
    except (yaml.YAMLError, AttributeError):
        return True  # truncated: DVC could not read it either


def freed_bytes(folders: Iterable[Path], files: Iterable[Path]) -> int:
    """Bytes of disk space that removing these frees; a file with another hard link elsewhere frees none."""
    links: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    contents = (Path(parent) / name for folder in folders for parent, _, names in os.walk(folder) for name in names)
    for path in (*contents, *files):
        stat = path.lstat()
        inode = stat.st_dev, stat.st_ino
        links[inode] += 1
        sizes[inode] = stat.st_nlink, stat.st_size
    return sum(size for inode, (all_links, size) in sizes.items() if links[inode] >= all_links)


def _remove(root: Path, report: GcReport) -> None:
    """Remove the runs, each renamed first so that it disappears at once, and then the objects."""
    for name in report.runs:
        (root / "runs" / name).rename(root / "runs" / f".{name}.{os.getpid()}.partial")
    for leftover in (root / "runs").glob(".*.partial"):
        shutil.rmtree(leftover)
    for path in (*report.run_cache_entries, *report.objects):
        path.unlink()
    if not report.objects_kept_because:
        run_cache.remove_empty_folders(_run_cache_folder(object_cache.objects_folder(root)))


def _run_cache_folder(objects: Path) -> Path:
    return objects.parents[1] / "runs"
