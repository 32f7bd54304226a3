"""Push a run to a DVC remote and pull it elsewhere: its objects by DVC, its folder as plain files beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.config import Config
from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows.dvc_state import object_cache
from flows.dvc_state.stage_state import read_lock_file
from flows.reporting.console import one_line
from flows.runs import run_record
from flows.runs.run_record import FINAL_STATES, Run
from flows.runs.workspace import dvc_config
from tasks.core.errors import UserError

RUNS_PATH = ("bonsai", "runs")
"""The folder of runs in a remote, beside `files`, the folder of DVC's objects."""
NOT_PUSHED = {"data", ".dvc", ".bonsai", "__pycache__"}
"""Parts of a run's folder that are not pushed; DVC restores `data` from the objects."""


def push(root: Path, run: Run, name: str = "") -> int:
    """Push a run that has ended to the remote of that name, or to the default one; returns the number of objects sent.

    The record is sent last, so that a run in the remote is always complete. Raises `UserError` if the run has not ended.
    """
    if run.record.get("state") not in FINAL_STATES:
        raise UserError(f"{run.id} is still running; push it when it has ended")
    with _open_remote(root, run.folder, name) as (repo, remote), object_cache.shared_lock(object_cache.objects_folder(root)):
        sent = int(repo.push(remote=remote.name))
        files = sorted(_files(run.folder), key=lambda path: path.name == run_record.RECORD_FILE)
        for path in files:
            target = remote.fs.join(remote.path, *RUNS_PATH, run.id, *path.relative_to(run.folder).parts)
            remote.fs.makedirs(remote.fs.parent(target), exist_ok=True)
            remote.fs.put_file(str(path), target)
    return sent


def pull(root: Path, run_id: str, name: str = "") -> tuple[Run, int]:
    """Fetch a run from the remote: its folder, unless it exists already, and its objects; returns (run, number of objects)."""
    folder = root / "runs" / run_id
    if not (folder / run_record.RECORD_FILE).is_file():
        with _open_remote(root, root, name) as (_, remote):
            _fetch_folder(root, run_id, remote)
    run = run_record.find(root, run_id)
    with _open_remote(root, folder, name) as (repo, remote), object_cache.shared_lock(object_cache.objects_folder(root)):
        fetched = int(repo.fetch(remote=remote.name))
    hashes = object_cache.output_hashes(read_lock_file(folder))
    object_cache.check_folder_lists(object_cache.objects_folder(root), hashes)
    return run, fetched


def remote_runs(root: Path, name: str = "") -> list[str]:
    """The ids of the runs in the remote, newest first."""
    with _open_remote(root, root, name) as (_, remote):
        runs = remote.fs.join(remote.path, *RUNS_PATH)
        files = [PurePosixPath(path) for path in (remote.fs.find(runs) if remote.fs.exists(runs) else [])]
        return sorted((path.parent.name for path in files if path.name == run_record.RECORD_FILE), reverse=True)


@contextmanager
def _open_remote(root: Path, folder: Path, name: str) -> Iterator[tuple[Repo, Any]]:
    """(DVC's view of a workspace, one of the project's remotes); the remotes' secrets stay in the project's config."""
    config = Config(str(root / ".dvc"))
    hashes = {"site_cache_dir": str(folder / ".dvc" / "tmp" / "site")}
    core = {key: config["core"][key] for key in ("remote",) if config["core"].get(key)}
    try:
        with (
            chdir(folder),
            Repo(str(folder), config={"core": hashes | core, "remote": dict(config["remote"])}, _wait_for_lock=True) as repo,
        ):
            yield repo, repo.cloud.get_remote(name or None, "push")
    except DvcException as error:
        raise UserError(one_line(error)) from None


def _fetch_folder(root: Path, run_id: str, remote: Any) -> None:
    source_folder = remote.fs.join(remote.path, *RUNS_PATH, run_id)
    if "/" in run_id or run_id.startswith(".") or not remote.fs.exists(remote.fs.join(source_folder, run_record.RECORD_FILE)):
        raise UserError(f"the remote {remote.name!r} has no run {run_id!r}; `bonsai pull` without a name lists those it has")
    partial = root / "runs" / f".{run_id}.{os.getpid()}.partial"
    partial.mkdir(parents=True)
    try:
        for source in remote.fs.find(source_folder):
            relative = PurePosixPath(source).relative_to(PurePosixPath(source_folder))
            if ".." in relative.parts or relative.parts[0] in NOT_PUSHED:
                raise UserError(
                    f"the remote {remote.name!r} names a file outside of what is pushed of a run: {source}; do not use it"
                )
            target = partial / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.fs.get_file(source, str(target))
        (partial / ".dvc" / "tmp").mkdir(parents=True)
        (partial / ".dvc" / "config").write_text(dvc_config(root, root / "runs" / run_id), encoding="utf-8")
        partial.rename(root / "runs" / run_id)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a run's folder to push; no links, since their targets are not pushed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_PUSHED and not (Path(parent) / name).is_symlink()]
        yield from (path for name in names if not (path := Path(parent) / name).is_symlink() and not name.endswith(".partial"))
