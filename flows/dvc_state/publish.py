"""Publish a run's results in the project's own folder, as if `dvc repro` had made them there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.stage.loader import StageLoader

from flows.dvc_state.stage_state import load_nodes_and_entries, open_repo, write_lock_file
from flows.reporting.console import one_line
from flows.system.file_locks import hold_lock
from tasks.core.storage.manifest import CHECKSUMS, DamagedArtifact, verify


def unsaved_outputs(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Outputs of these stages whose content in the project is in no cache: path -> stage.

    The current directory is `root`.
    """
    with open_repo(root) as repo, repo.lock:
        nodes, _ = load_nodes_and_entries(repo)
        return {str(out): name for name in names if name in nodes for out in nodes[name].outs if _is_unsaved(out)}


def publish(
    root: Path, entries: Mapping[str, Any], *, force: bool = False, on_message: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Merge a run's `entries` of dvc.lock, by stage, into the project's dvc.lock and check out their outputs.

    Nothing is computed. A stage is skipped if a person changed one of its outputs by hand (unless `force`), or if the
    checkout fails, as it does while `dvc repro` works on it. Returns one line per skipped stage. An output that differs from
    its own manifest is moved to `.bonsai/damaged` first, and `on_message` is told where it is. The current directory is `root`.
    """
    published, skipped = dict(entries), list[str]()
    with hold_lock(root / ".bonsai" / "locks" / "reflect"), open_repo(root) as repo, repo.lock:
        nodes, before = load_nodes_and_entries(repo)
        for name in entries:
            for out in nodes[name].outs if name in nodes else ():
                if line := _set_aside(root, out):
                    on_message(line)
            changed = [str(out) for out in nodes[name].outs if not force and _is_unsaved(out)] if name in nodes else []
            if changed or name not in nodes:
                skipped.append(f"{name}: {', '.join(changed)} changed by hand" if changed else f"{name} is no longer in dvc.yaml")
                del published[name]
        if before | published != before:
            write_lock_file(root, before | published)
        for name, entry in published.items():
            StageLoader.fill_from_lock(nodes[name], entry)
            try:
                nodes[name].checkout(force=True)
            except DvcException as error:
                skipped.append(f"{name}: {one_line(error)}")
    return skipped


def _set_aside(root: Path, out: Any) -> str:
    """Move an output whose files differ from its manifest to `.bonsai/damaged`, so that an intact one takes its place.

    Returns a line about it, or nothing. No stage reads such an output; one that a stage made by hand agrees with its manifest.
    """
    place = Path(out.fs_path)
    if not (place / CHECKSUMS).is_file():
        return ""
    try:
        verify(place)
    except DamagedArtifact as damage:
        target = root / ".bonsai" / "damaged" / f"{out.def_path.replace('/', '-')}-{secrets.token_hex(4)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        place.rename(target)
        return f"{damage.reason}; it is kept as {target}, and the run's took its place"
    return ""


def _is_unsaved(out: Any) -> bool:
    """Whether the output's current content is neither in dvc.lock nor in the cache, so that it must not be overwritten."""
    if not out.exists:
        return False
    current = out.get_hash()
    return current != out.hash_info and not out.cache.exists(current.value)
