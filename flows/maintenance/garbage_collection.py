"""Keep the newest runs and the pinned ones; sweep out the others, and what the cache holds for nobody any more."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from dvc.config import Config

from flows.dvc_state import object_cache
from flows.dvc_state.object_cache import LockEntries
from flows.dvc_state.stage_state import open_repo, working_directory
from flows.runs import recovery, run_record, search
from flows.runs.run_record import Run


@dataclass(slots=True)
class GcReport:
    """What is swept out, or would be."""

    runs: list[str] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    memories: list[Path] = field(default_factory=list)
    """LockEntries of DVC's run-cache that lead to objects which go."""
    freed_bytes: int = 0
    waits: str = ""
    """Why the cache's objects stay for now; empty when they do not."""


def sweep(root: Path, *, keep: int = 20, dry_run: bool = False) -> GcReport:
    """Remove the folders of all but the newest `keep` runs, the pinned and those under way, and the objects that neither a
    kept run nor the project's own folder needs, be it as it is or as the last commit has it.

    While anybody uses the cache its objects stay; whoever wants to use it meanwhile waits.
    """
    recovery.recover(root)
    found, objects = GcReport(), object_cache.objects_folder(root)
    with (
        object_cache.exclusive_lock(objects) as nobody,
        working_directory(root),
        open_repo(root) as repo,
        repo.lock,
    ):  # nor does a `dvc` of the project
        staying, leaving = _sorted(root, keep)
        found.runs = [run.id for run in leaving]
        found.waits = _why_not(root, objects, nobody)
        if not found.waits:
            needed = object_cache.referenced_hashes(
                objects, [md5 for entries in _locks(root, staying) for md5 in object_cache.output_hashes(entries)]
            )
            found.objects = [path for path in objects.glob("??/*") if f"{path.parent.name}{path.name}" not in needed]
            gone = {f"{path.parent.name}{path.name}" for path in found.objects}
            found.memories = [path for path in (objects.parents[1] / "runs").glob("??/*/*") if _leads_to(path, gone)]
        found.freed_bytes = freed([run.folder for run in leaving], found.objects)
        if not dry_run:
            _remove(root, found)
    return found


def _sorted(root: Path, keep: int) -> tuple[list[Run], list[Run]]:
    """The runs that stay, and those that go."""
    working = {run.id for run in run_record.active_runs(root)}
    staying: list[Run] = []
    leaving: list[Run] = []
    for position, run in enumerate(run_record.iter_runs(root)):
        stays = position < keep or run.id in working or search.note(run.folder).pinned
        (staying if stays else leaving).append(run)
    return staying, leaving


def _why_not(root: Path, objects: Path, nobody: bool) -> str:
    if Config(str(root / ".dvc"))["cache"].get("dir") and not objects.resolve().is_relative_to(root.resolve()):
        return f"the cache {objects} may be shared with other projects; `dvc gc` can be told of them"
    return "" if nobody else "a run is at work; its objects and all others stay until the next time"


def _locks(root: Path, staying: Iterable[Run]) -> Iterator[LockEntries]:
    """What every dvc.lock that counts says, that of the project's last commit included."""
    for path in (root / "dvc.lock", *(run.folder / "dvc.lock" for run in staying)):
        if path.is_file():
            yield _stages(path.read_text(encoding="utf-8"))
    command = ["git", "-C", str(root), "show", "HEAD:./dvc.lock"]
    try:
        yield _stages(subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout)
    except (OSError, subprocess.SubprocessError):
        return  # no git, or nothing committed


def _stages(text: str) -> LockEntries:
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    stages: LockEntries = (found or {}).get("stages") or {}
    return stages


def _leads_to(memory: Path, gone: set[str]) -> bool:
    """Whether an entry of the run-cache names an object that goes; such a one can restore nothing."""
    try:
        entry = yaml.load(memory.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return any(out.get("md5") in gone for out in entry.get("outs", ()))
    except (yaml.YAMLError, AttributeError):
        return True  # cut short: DVC could not read it either


def freed(folders: Iterable[Path], files: Iterable[Path]) -> int:
    """Bytes that go when these do: a file with another name elsewhere stays on the disk."""
    names: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    inside = (Path(place) / name for folder in folders for place, _, held in os.walk(folder) for name in held)
    for path in (*inside, *files):
        stat = path.lstat()
        inode = stat.st_dev, stat.st_ino
        names[inode] += 1
        sizes[inode] = stat.st_nlink, stat.st_size
    return sum(size for inode, (links, size) in sizes.items() if names[inode] >= links)


def _remove(root: Path, found: GcReport) -> None:
    """Runs first, each out of sight at once; then what they alone needed."""
    for name in found.runs:
        (root / "runs" / name).rename(root / "runs" / f".{name}.{os.getpid()}.partial")
    for leftover in (root / "runs").glob(".*.partial"):
        shutil.rmtree(leftover)
    for path in (*found.memories, *found.objects):
        path.unlink()
