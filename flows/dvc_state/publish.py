"""Show a run's results in the project's own folder, as if `dvc repro` had made them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.stage.loader import StageLoader

from flows.dvc_state.stage_state import nodes_and_entries, open_repo, write_lock
from flows.system.file_locks import locked


def changed_by_hand(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Outputs of these stages that hold in the project what exists nowhere else, by path, each with its stage.

    The current directory is `root`.
    """
    with open_repo(root) as repo, repo.lock:
        nodes, _ = nodes_and_entries(repo)
        return {str(out): name for name in names if name in nodes for out in nodes[name].outs if _only_here(out)}


def reflect(root: Path, entries: Mapping[str, Any], *, force: bool = False) -> list[str]:
    """Take a run's `entries` of dvc.lock, by stage, over into the project's, and check their outputs out there.

    Nothing is computed. A stage whose outputs a person changed by hand in the project, or that `dvc repro` is working on,
    is left as it is, unless `force` is given. Says in one line each what was left, and why. The current directory is `root`.
    """
    taken, left = dict(entries), list[str]()
    with locked(root / ".bonsai" / "locks" / "reflect"), open_repo(root) as repo, repo.lock:
        known, before = nodes_and_entries(repo)
        for name in entries:
            changed = [str(out) for out in known[name].outs if not force and _only_here(out)] if name in known else []
            if changed or name not in known:
                left.append(f"{name}: {', '.join(changed)} changed by hand" if changed else f"{name} is no longer in dvc.yaml")
                del taken[name]
        if before | taken != before:
            write_lock(root, before | taken)
        for name, entry in taken.items():
            StageLoader.fill_from_lock(known[name], entry)
            try:
                known[name].checkout(force=True)
            except DvcException as error:
                left.append(f"{name}: {' '.join(str(error).split())}")
    return left


def _only_here(out: Any) -> bool:
    """Whether what lies at the output's place exists nowhere else, so that it must not be overwritten."""
    if not out.exists:
        return False
    found = out.get_hash()
    return found != out.hash_info and not out.cache.exists(found.value)
