"""Show a run's results in the project's own folder, as if `dvc repro` had made them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.loader import StageLoader

from flows.ledger import lock_entries, open_repo, write_lock
from flows.slots import locked


def changed_by_hand(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Outputs of these stages that hold in the project what exists nowhere else, by path, each with its stage.

    The current directory is `root`.
    """
    with open_repo(root) as repo, repo.lock:
        nodes = {node.name: node for node in repo.index.stages}
        return {str(out): name for name in names if name in nodes for out in nodes[name].outs if _only_here(out)}


def reflect(root: Path, folder: Path, names: list[str], *, force: bool = False) -> list[str]:
    """Take the stages `names` of the run in `folder` over into the project's dvc.lock, and check their outputs out there.

    Nothing is computed. A stage whose outputs a person changed by hand in the project, or that `dvc repro` is working on,
    is left as it is, unless `force` is given. Says in one line each what was left, and why.
    """
    entries = {name: entry for name, entry in lock_entries(folder).items() if name in names}
    left: list[str] = []
    with locked(root / ".bonsai" / "locks" / "reflect"), open_repo(root) as repo, repo.lock:
        known = {node.name: node for node in repo.index.stages}
        for name in list(entries):
            changed = [str(out) for out in known[name].outs if not force and _only_here(out)] if name in known else []
            if changed or name not in known:
                left.append(f"{name}: {', '.join(changed)} changed by hand" if changed else f"{name} is no longer in dvc.yaml")
                del entries[name]
        _merge(root, repo, entries)
        for name, entry in entries.items():
            StageLoader.fill_from_lock(known[name], entry)
            try:
                known[name].checkout(force=True)
            except DvcException as error:
                left.append(f"{name}: {' '.join(str(error).split())}")
    return left


def _merge(root: Path, repo: Repo, entries: dict[str, Any]) -> None:
    """Put the entries into dvc.lock, the others as they were, the file whole at every moment."""
    before = dict(Lockfile(repo, str(root / LOCK_FILE)).load().get("stages", {}))
    after = {**before, **entries}
    if after != before:
        write_lock(root, after)


def _only_here(out: Any) -> bool:
    """Whether what lies at the output's place exists nowhere else, so that it must not be overwritten."""
    if not out.exists:
        return False
    found = out.get_hash()
    return found != out.hash_info and not out.cache.exists(found.value)
