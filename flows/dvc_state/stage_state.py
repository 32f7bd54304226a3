"""Which stages of a workspace are up to date: DVC's state in dvc.lock, its object cache and its run-cache."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from dvc.dvcfile import LOCK_FILE, PROJECT_FILE, Lockfile, ProjectFile
from dvc.repo import Repo
from dvc.repo.index import Index
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.serialize import to_lockfile, to_single_stage_lockfile
from dvc.utils.serialize import dump_yaml
from dvc_data.hashfile.tree import Tree

from flows.dvc_state import hash_database, object_cache, stage_graph
from flows.dvc_state.run_cache import CheckedRunCache
from flows.dvc_state.stage_graph import Reason, Stage
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_json
from tasks.core.storage.manifest import root_hash

logging.getLogger("dvc").setLevel(logging.WARNING)
for name in ("dvc.progress", "dvc_data.callbacks"):  # no progress bars of DVC's among ours
    logging.getLogger(name).setLevel(logging.CRITICAL)

CachedState = Literal["Unchanged", "Restored"]


class StageStore:
    """DVC's state of each stage of the workspace in the current directory.

    It takes the same steps as `dvc repro` around a stage's command, in the same order: compare, restore from the
    run-cache, remove stale outputs, (the command), save, commit, write dvc.lock. Threads may share one store. DVC's
    lock on the workspace is held during each step and never while a stage runs. dvc.lock is written atomically.
    """

    def __init__(self, folder: Path) -> None:
        if folder.resolve() != Path.cwd():
            raise AssertionError("DVC resolves paths against the current directory: go to the workspace first")
        self.folder = folder.resolve()
        self._resources = ExitStack()
        self._objects = object_cache.objects_folder(folder)
        self._resources.enter_context(object_cache.shared_lock(self._objects))
        self.repo = open_repo(self.folder)
        self._nodes, self._entries = load_nodes_and_entries(self.repo)
        self.stages: dict[str, Stage] = stage_graph.read(self.repo)
        self.reasons: dict[str, list[Reason]] = {}
        """Why each stage was not up to date, for those that were not."""
        self.damages: list[str] = []
        """A line for each damaged object of the cache that was set aside."""
        self._mutex = threading.RLock()
        self._lock_file_outdated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.locked():
            if self._lock_file_outdated:
                self._write()
        self.repo.close()
        self._resources.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold DVC's lock on the workspace: one thread and one process at a time."""
        with self._mutex:
            if self.repo.lock.is_locked:
                yield
            else:
                with self.repo.lock:
                    yield

    def stale_reasons(self, name: str, *, outputs: bool = True) -> list[Reason]:
        """Why the stage is not up to date; empty if it is."""
        with self.locked():
            return stage_graph.stale_reasons(self.repo, self._nodes[name], outputs=outputs)

    def restore(self, name: str) -> CachedState | None:
        """Check out the stage's outputs from the cache, if they are in it.

        Returns `Unchanged` when dvc.lock has their hashes, `Restored` when the run-cache has an entry with the same command,
        dependencies and parameters, None when the stage has to be run.
        """
        node = self._nodes[name]
        with self.locked():
            unchanged = not node.changed_stage() and all(out.hash_info for out in node.outs) and node.deps_cached()
            if not unchanged:
                self.reasons.setdefault(name, stage_graph.stale_reasons(self.repo, node, outputs=False))
                _clear_output_hashes(node)
            entry = to_single_stage_lockfile(node) if unchanged else self._run_cache_entry(node)
            if entry is None or self._set_aside_damaged(name, [str(out["md5"]) for out in entry["outs"] if "md5" in out]):
                _clear_output_hashes(node)
                return None
            try:
                self.repo.stage_cache.restore(node)
            except RunCacheNotFoundError:
                return None
            if unchanged:
                return "Unchanged"
            node.save()
            node.commit()
            self._entries.update(to_lockfile(node))
            self._lock_file_outdated = True
            return "Restored"

    def clear(self, name: str) -> None:
        """Remove the stage's stale outputs and save the hashes of its dependencies."""
        node = self._nodes[name]
        with self.locked():
            _clear_output_hashes(node)
            node.save_deps()
            node.remove_outs(ignore_remove=False, force=False)

    def key(self, name: str) -> str:
        """A hash of everything that determines the stage's outputs: its command, dependencies and parameters, as they are now."""
        node = self._nodes[name]
        with self.locked():
            _clear_output_hashes(node)
            node.save_deps()
            entry = to_single_stage_lockfile(node)
        return hash_json({part: entry.get(part) for part in ("cmd", "deps", "params")})

    def commit(self, name: str) -> None:
        """Add the stage's outputs to the cache and record them in dvc.lock and the run-cache."""
        node = self._nodes[name]
        with self.locked():
            node.save()
            hashes = [md5 for out in node.outs for md5 in _object_hashes(out)]
            self._set_aside_damaged(name, hashes)  # DVC would keep them in the place of the new ones
            node.commit()
            if missing := object_cache.missing_hashes(self._objects, hashes):
                raise UserError(f"{len(missing)} objects of {name} are not in the cache, such as {missing[0]}; is the disk full?")
            self._entries.update(to_lockfile(node))
            self._write()

    def outs(self, name: str) -> dict[str, dict[str, Any]]:
        """MD5, size, number of files and the hash of the manifest of each output, by path."""
        entry = self._entries.get(name, {})
        return {
            out["path"]: {key: out[key] for key in ("md5", "size", "nfiles") if key in out}
            | {"manifest": root_hash(self.folder / out["path"])}
            for out in entry.get("outs", [])
        }

    def entries(self, names: Iterable[str]) -> dict[str, Any]:
        """The entries of these stages in dvc.lock, including those not written yet."""
        return {name: self._entries[name] for name in names if name in self._entries}

    def _run_cache_entry(self, node: Any) -> dict[str, Any] | None:
        """The newest entry of the run-cache with the stage's command, dependencies and parameters; None if there is none."""
        node.save_deps()
        entry: dict[str, Any] | None = self.repo.stage_cache._load(node)
        return entry

    def _set_aside_damaged(self, name: str, md5s: Iterable[str]) -> bool:
        """Move those of these objects that are damaged out of the cache, and say so; returns whether there were any.

        DVC believes a cached object to be intact as long as nobody may write to it.
        """
        lines = object_cache.set_aside(self._objects, object_cache.damaged_objects(self._objects, md5s))
        self.reasons.setdefault(name, []).extend(Reason("output", line) for line in lines)
        self.damages.extend(f"{name}: {line}" for line in lines)
        return bool(lines)

    def _write(self) -> None:
        write_lock_file(self.folder, self.entries(self._nodes))
        self._lock_file_outdated = False


def _object_hashes(out: Any) -> Iterator[str]:
    """The MD5 of a saved output and, for a folder, of each file in it."""
    yield str(out.hash_info.value)
    if isinstance(out.obj, Tree):
        yield from (str(hash_info.value) for _, _, hash_info in out.obj)


def _clear_output_hashes(node: Any) -> None:
    """Forget the hashes of the outputs, which belong to the dependencies in dvc.lock.

    Once the dependencies' hashes are saved anew, DVC would otherwise find the stage unchanged and check out the old outputs.
    """
    for out in node.outs:
        out.clear()


def open_repo(folder: Path) -> Repo:
    """DVC's view of a workspace, with a checked run-cache and a hash database of its own that is not damaged."""
    stage_graph.supply_seeds(folder)
    hash_database.delete_damaged(folder)
    repo = Repo(str(folder), config={"core": {"site_cache_dir": str(hash_database.folder(folder))}}, _wait_for_lock=True)
    repo.stage_cache = CheckedRunCache(repo)
    return repo


def load_nodes_and_entries(repo: Repo) -> tuple[dict[str, Any], dict[str, Any]]:
    """DVC's stages of the workspace's dvc.yaml, and their entries in its dvc.lock, by name.

    Each file is read once, and no other is searched for. DVC by default walks all folders for more of them, and reads
    dvc.lock, which takes a third of a second, again for each stage.
    """
    project = ProjectFile(repo, str(Path(repo.root_dir) / PROJECT_FILE))
    stages = list(project.stages.values())
    repo.index = Index(repo, stages=stages)
    return {stage.name: stage for stage in stages}, dict(project.lockfile_contents.get("stages", {}))


def write_lock_file(folder: Path, entries: dict[str, Any]) -> None:
    """Write dvc.lock as DVC would, but atomically: DVC itself writes it in place."""
    partial = folder / ".dvc" / "tmp" / f"dvc.lock.{os.getpid()}.partial"
    partial.parent.mkdir(parents=True, exist_ok=True)
    dump_yaml(partial, {"schema": "2.0", "stages": entries})
    partial.replace(folder / "dvc.lock")


def read_lock_file(folder: Path) -> dict[str, Any]:
    """The entries of dvc.lock by stage."""
    with open_repo(folder) as repo:
        return dict(Lockfile(repo, str(folder / LOCK_FILE)).load().get("stages", {}))
