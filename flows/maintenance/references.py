"""What refers to the objects of a cache: locks, run records and registered versions of every project that uses it.

An object may be deleted only if all of this could be read. What could not is listed, and then nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flows.dvc_state import cache_users, object_cache
from flows.dvc_state.lock_file import committed_lock_text, parse_checked_entries
from flows.registry import history, versions
from flows.runs import record_file, run_record
from flows.runs.run_record import Run
from flows.system.state_files import DamagedFile
from tasks.core.errors import UserError


@dataclass(slots=True)
class References:
    """The hashes that are referred to, and what could not be read."""

    objects: Path
    """The folder of the objects."""
    hashes: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)
    """A line for each file that may refer to more objects and cannot be read; empty if `hashes` is complete."""

    def add(self, md5s: Iterable[str], source: Path, *, may_be_missing: bool) -> None:
        """Take these hashes into account, and those of the files of folders among them.

        `source` is the file that they are from. With `may_be_missing`, the list of a folder need not be in the cache, as
        after a clone: such a folder was never used here.
        """
        for md5 in md5s:
            if md5 in self.hashes:
                continue
            self.hashes.add(md5)
            if md5.endswith(".dir"):
                try:
                    self.hashes.update(object_cache.read_folder_list(self.objects, md5).values())
                except FileNotFoundError:
                    if not may_be_missing:
                        self.unreadable.append(f"{source} refers to the folder {md5}, whose list is not in the cache")
                except DamagedFile as damage:
                    self.unreadable.append(str(damage))

    def add_lock(self, path: Path, text: str, *, optional: set[str] | None) -> set[str]:
        """Take a dvc.lock with this text into account; returns its hashes.

        The lists of the folders in `optional` may be missing from the cache, with None those of all.
        """
        try:
            entries = parse_checked_entries(text)
        except ValueError as error:
            self.unreadable.append(f"{path} is damaged: {error}")
            return set()
        md5s = set(object_cache.output_hashes(entries))
        optional = md5s if optional is None else optional
        self.add(md5s & optional, path, may_be_missing=True)
        self.add(md5s - optional, path, may_be_missing=False)
        return md5s


def collect(root: Path, kept: Iterable[Run]) -> References:
    """The references of this project with these of its runs, and of every other project that uses its cache."""
    references = References(object_cache.objects_folder(root))
    _add_project(references, root, kept)
    try:
        users = cache_users.others(root)
    except DamagedFile as damage:
        references.unreadable.append(f"{damage}; it names a user of the cache; delete it, and run bonsai in that project once")
        return references
    for project, entry in users.items():
        if (project / "dvc.yaml").is_file():
            _add_project(references, project, run_record.iter_runs(project))
        else:
            references.unreadable.append(f"{project} uses this cache too and is not there; if gone for good, delete {entry}")
    return references


def _add_project(references: References, root: Path, runs: Iterable[Run]) -> None:
    lock, committed_text = root / "dvc.lock", committed_lock_text(root)
    committed = references.add_lock(root / "dvc.lock of the last commit", committed_text, optional=None)
    recorded = set(committed)
    for run in runs:
        recorded |= _add_run(references, run)
    try:
        references.add(versions.cached_hashes(root), root / history.FOLDER, may_be_missing=True)
    except (UserError, yaml.YAMLError, OSError, AttributeError, TypeError) as error:
        references.unreadable.append(f"a .dvc file in {root / history.FOLDER} cannot be read: {str(error).splitlines()[0]}")
    if not lock.is_file():
        return
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        references.unreadable.append(f"{lock} cannot be read: {error}")
        return
    for md5 in sorted(references.add_lock(lock, text, optional=committed) - recorded):
        if not object_cache.object_path(references.objects, md5).is_file():
            references.unreadable.append(f"{lock} refers to {md5}, which neither the cache, the last commit nor a run knows")


def _add_run(references: References, run: Run) -> set[str]:
    """Take a run's record and its dvc.lock into account; returns the hashes of its record."""
    if not run.is_readable:
        references.unreadable.append(f"{run.damage}; {record_file.advice(run.folder)}")
    recorded = set(recorded_hashes(run.record))
    references.add(recorded, run.folder / record_file.RECORD_FILE, may_be_missing=False)
    lock = run.folder / "dvc.lock"
    if lock.is_file():
        references.add_lock(lock, lock.read_text(encoding="utf-8", errors="replace"), optional=None)
    return recorded


def recorded_hashes(record: Mapping[str, Any]) -> Iterator[str]:
    """The MD5 of every output in a run's record."""
    for entry in record.get("stages", {}).values():
        yield from (str(out["md5"]) for out in (entry.get("outs") or {}).values() if out.get("md5"))
