"""Send a run to a DVC remote and fetch it elsewhere: the objects by DVC, the run's folder as files beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.config import Config
from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows.dvc_state import object_cache
from flows.dvc_state.stage_state import working_directory
from flows.runs import run_record
from flows.runs.run_record import FINAL, Run
from flows.runs.workspace import dvc_config
from tasks.core.errors import UserError

SHELF = ("bonsai", "runs")
"""Where a remote keeps the folders of runs: beside `files`, where DVC keeps objects."""
LEFT = {"data", ".dvc", ".bonsai", "__pycache__"}
"""What of a run's folder does not travel: DVC makes it again from the objects."""


def push(root: Path, run: Run, name: str = "") -> int:
    """Send a run that has ended to the remote of that name, or to the project's own; gives the number of objects sent.

    The record goes last: whoever sees the run there finds it whole.
    """
    if run.record.get("state") not in FINAL:
        raise UserError(f"{run.id} is still under way; push it when it has ended")
    with _opened(root, run.folder, name) as (repo, remote), object_cache.shared_lock(object_cache.objects_folder(root)):
        sent = int(repo.push(remote=remote.name))
        files = sorted(_files(run.folder), key=lambda path: path.name == run_record.RECORD)
        for path in files:
            target = remote.fs.join(remote.path, *SHELF, run.id, *path.relative_to(run.folder).parts)
            remote.fs.makedirs(remote.fs.parent(target), exist_ok=True)
            remote.fs.put_file(str(path), target)
    return sent


def pull(root: Path, run_id: str, name: str = "") -> tuple[Run, int]:
    """Fetch a run from the remote: its folder if it is not here yet, and the objects it made; gives it and their number."""
    folder = root / "runs" / run_id
    if not (folder / run_record.RECORD).is_file():
        with _opened(root, root, name) as (_, remote):
            _fetch_folder(root, run_id, remote)
    run = run_record.find(root, run_id)
    with _opened(root, folder, name) as (repo, remote), object_cache.shared_lock(object_cache.objects_folder(root)):
        return run, int(repo.fetch(remote=remote.name))


def there_are(root: Path, name: str = "") -> list[str]:
    """The ids of the runs that the remote has, newest first."""
    with _opened(root, root, name) as (_, remote):
        shelf = remote.fs.join(remote.path, *SHELF)
        found = remote.fs.find(shelf) if remote.fs.exists(shelf) else []
        records = [PurePosixPath(each) for each in found]
        return sorted((path.parent.name for path in records if path.name == run_record.RECORD), reverse=True)


@contextmanager
def _opened(root: Path, folder: Path, name: str) -> Iterator[tuple[Repo, Any]]:
    """DVC's view of a workspace with the project's remotes, whose secrets stay where they are, and one of them."""
    ours = Config(str(root / ".dvc"))
    state = {"site_cache_dir": str(folder / ".dvc" / "tmp" / "site")}
    core = {key: ours["core"][key] for key in ("remote",) if ours["core"].get(key)}
    try:
        with (
            working_directory(folder),
            Repo(str(folder), config={"core": state | core, "remote": dict(ours["remote"])}, _wait_for_lock=True) as repo,
        ):
            yield repo, repo.cloud.get_remote(name or None, "push")
    except DvcException as error:
        raise UserError(" ".join(str(error).replace("\n", " ").split())) from None


def _fetch_folder(root: Path, run_id: str, remote: Any) -> None:
    shelf = remote.fs.join(remote.path, *SHELF, run_id)
    if "/" in run_id or run_id.startswith(".") or not remote.fs.exists(remote.fs.join(shelf, run_record.RECORD)):
        raise UserError(f"the remote {remote.name!r} has no run {run_id!r}; `bonsai pull` without a name lists those it has")
    draft = root / "runs" / f".{run_id}.{os.getpid()}.partial"
    draft.mkdir(parents=True)
    try:
        for source in remote.fs.find(shelf):
            target = draft / PurePosixPath(source).relative_to(PurePosixPath(shelf))
            if ".." in target.parts or target.name.startswith(".dvc/"):
                raise UserError(f"the remote {remote.name!r} names a file outside of the run's folder: {source}")
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.fs.get_file(source, str(target))
        (draft / ".dvc" / "tmp").mkdir(parents=True)
        (draft / ".dvc" / "config").write_text(dvc_config(root, root / "runs" / run_id), encoding="utf-8")
        draft.rename(root / "runs" / run_id)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a run's folder that travel; no links, which lead to what is only here."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT and not (Path(place) / name).is_symlink()]
        yield from (path for name in names if not (path := Path(place) / name).is_symlink() and not name.endswith(".partial"))
