"""What is already done: one workspace's memory, kept by DVC in dvc.lock, its cache and its run-cache."""

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

from flows.dvc_state import object_cache, stage_graph
from flows.dvc_state.stage_graph import Reason, Stage
from tasks.core.atomic_files import hash_json

logging.getLogger("dvc").setLevel(logging.WARNING)
for name in ("dvc.progress", "dvc_data.callbacks"):  # no bars of DVC's own among ours
    logging.getLogger(name).setLevel(logging.CRITICAL)

Recall = Literal["Unchanged", "Restored"]


class StageStore:
    """DVC's own bookkeeping for the workspace in the current directory, stage by stage.

    The same steps as `dvc repro` takes around a stage's command, in the same order: compare, restore from the
    run-cache, remove stale outputs, (the command), save, commit, write dvc.lock. Threads may share one ledger; DVC's
    lock on the workspace is held during bookkeeping and never while a stage works. dvc.lock is written whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        if folder.resolve() != Path.cwd():
            raise AssertionError("DVC resolves paths against the current directory: go to the workspace first")
        self.folder = folder.resolve()
        self._held = ExitStack()
        self._held.enter_context(object_cache.in_use(object_cache.place(folder)))
        self.repo = open_repo(self.folder)
        self._nodes, self._entries = nodes_and_entries(self.repo)
        self.stages: dict[str, Stage] = stage_graph.read(self.repo)
        self.reasons: dict[str, list[Reason]] = {}
        """Why each stage that was not found unchanged was not."""
        self._mutex = threading.RLock()
        self._unwritten = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.bookkeeping():
            if self._unwritten:
                self._write()
        self.repo.close()
        self._held.close()

    @contextmanager
    def bookkeeping(self) -> Iterator[None]:
        """One thread and one process at a time."""
        with self._mutex:
            if self.repo.lock.is_locked:
                yield
            else:
                with self.repo.lock:
                    yield

    def why(self, name: str, *, outputs: bool = True) -> list[Reason]:
        """Why the stage is not up to date; nothing if it is."""
        with self.bookkeeping():
            return stage_graph.why(self.repo, self._nodes[name], outputs=outputs)

    def recall(self, name: str) -> Recall | None:
        """Put the stage's outputs in place without working, if they are known.

        `Unchanged` when dvc.lock already says what they are, `Restored` when the run-cache remembers another run that had
        the same command, dependencies and parameters. None when it has to be played.
        """
        node = self._nodes[name]
        with self.bookkeeping():
            same = not node.changed_stage() and all(out.hash_info for out in node.outs) and node.deps_cached()
            if not same:
                self.reasons.setdefault(name, stage_graph.why(self.repo, node, outputs=False))
                _forget_outs(node)
            try:
                self.repo.stage_cache.restore(node)
            except RunCacheNotFoundError:
                return None
            if same:
                return "Unchanged"
            node.save()
            node.commit()
            self._entries.update(to_lockfile(node))
            self._unwritten = True
            return "Restored"

    def clear(self, name: str) -> None:
        """Remove the stage's stale outputs, and take down what it is about to depend on."""
        node = self._nodes[name]
        with self.bookkeeping():
            _forget_outs(node)
            node.save_deps()
            node.remove_outs(ignore_remove=False, force=False)

    def key(self, name: str) -> str:
        """A hash of all that decides the stage's outputs: its command, dependencies and parameters, as they are now."""
        node = self._nodes[name]
        with self.bookkeeping():
            _forget_outs(node)
            node.save_deps()
            entry = to_single_stage_lockfile(node)
        return hash_json({part: entry.get(part) for part in ("cmd", "deps", "params")})

    def commit(self, name: str) -> None:
        """Take the stage's outputs into the cache and remember them in dvc.lock and the run-cache."""
        node = self._nodes[name]
        with self.bookkeeping():
            node.save()
            node.commit()
            self._entries.update(to_lockfile(node))
            self._write()

    def outs(self, name: str) -> dict[str, dict[str, Any]]:
        """Hash, size and number of files of each output, by path."""
        entry = self._entries.get(name, {})
        return {out["path"]: {key: out[key] for key in ("md5", "size", "nfiles") if key in out} for out in entry.get("outs", [])}

    def entries(self, names: Iterable[str]) -> dict[str, Any]:
        """What dvc.lock says, or is about to, of these stages."""
        return {name: self._entries[name] for name in names if name in self._entries}

    def _write(self) -> None:
        write_lock(self.folder, self.entries(self._nodes))
        self._unwritten = False


def _forget_outs(node: Any) -> None:
    """What dvc.lock says of the outputs belongs to the dependencies it says. Once these are taken down anew, DVC would
    otherwise find them unchanged and put the old outputs in place.
    """
    for out in node.outs:
        out.clear()


@contextmanager
def there(folder: Path) -> Iterator[None]:
    """Be in that folder: DVC resolves every path against the current one."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def open_repo(folder: Path) -> Repo:
    """DVC's view of a workspace, with its hash state inside it: DVC's default is a folder that all users of the machine share."""
    return Repo(str(folder), config={"core": {"site_cache_dir": str(folder / ".dvc" / "tmp" / "site")}}, _wait_for_lock=True)


def nodes_and_entries(repo: Repo) -> tuple[dict[str, Any], dict[str, Any]]:
    """DVC's stages of the workspace's dvc.yaml, and what its dvc.lock remembers of each, by name.

    Each file is read once and no other is looked for: left to itself, DVC walks all folders for more of them, and reads
    dvc.lock, a third of a second, again for whoever asks.
    """
    project = ProjectFile(repo, str(Path(repo.root_dir) / PROJECT_FILE))
    stages = list(project.stages.values())
    repo.index = Index(repo, stages=stages)
    return {stage.name: stage for stage in stages}, dict(project.lockfile_contents.get("stages", {}))


def write_lock(folder: Path, entries: dict[str, Any]) -> None:
    """Write dvc.lock as DVC would, but whole or not at all: DVC itself writes it in place."""
    partial = folder / ".dvc" / "tmp" / f"dvc.lock.{os.getpid()}.partial"
    partial.parent.mkdir(parents=True, exist_ok=True)
    dump_yaml(partial, {"schema": "2.0", "stages": entries})
    partial.replace(folder / "dvc.lock")


def lock_entries(folder: Path) -> dict[str, Any]:
    """What dvc.lock remembers of each stage."""
    with open_repo(folder) as repo:
        return dict(Lockfile(repo, str(folder / LOCK_FILE)).load().get("stages", {}))
