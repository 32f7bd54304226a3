"""Push a run to a DVC remote and pull it elsewhere: its objects by DVC, its folder as plain files beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.config import Config
from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows.dvc_state import cache_users, hash_database, object_cache
from flows.dvc_state.lock_file import parse_checked_entries
from flows.maintenance.references import recorded_hashes
from flows.reporting.console import one_line
from flows.runs import run_record
from flows.runs.run_record import FINAL_STATES, Run
from flows.runs.workspace import dvc_config
from flows.system.state_files import write_state
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import flush_to_disk

CONNECTIONS = 8
"""How many objects are fetched at a time."""
RUNS_PATH = ("bonsai", "runs")
"""The folder of runs in a remote, beside `files`, the folder of DVC's objects."""
PUSHED_FILES = {
    "run.json",
    "run.copy.json",
    "notes.json",
    "verified.json",
    "params.yaml",
    "dvc.yaml",
    "dvc.lock",
    "flow.log",
    "machine.jsonl",
    ".dvcignore",
}
PUSHED_FOLDERS = {"tasks": (".py", ".toml", ".txt", ".json"), "journal": (".jsonl", ".out")}
"""The files of a run that may be fetched from a remote: these by name, and those below these folders that end so."""
NOT_PUSHED = {"data", ".dvc", ".bonsai", "__pycache__"}
"""Parts of a run's folder that are not pushed; DVC restores `data` from the objects."""


def push(root: Path, run: Run, name: str = "") -> int:
    """Push a run that has ended to the remote of that name, or to the default one; returns the number of objects sent.

    The record is sent last, so that a run in the remote is always complete. No damaged object is sent; and afterwards it is
    looked whether the remote has every object and file. Raises `UserError` if the run has not ended, and for what is missing.
    """
    if run.record.get("state") not in FINAL_STATES:
        raise UserError(f"{run.id} is still running; push it when it has ended")
    objects = object_cache.objects_folder(root)
    hashes = _output_hashes(run)
    with object_cache.shared_lock(objects):
        _refuse_damaged(
            objects, hashes, f"`bonsai pull {run.id}` fetches them, or `bonsai run` with its parameters makes them again"
        )
        with _open_remote(root, run.folder, name) as (repo, remote):
            sent = int(repo.push(remote=remote.name))
            if missing := _missing_in_remote(objects, hashes, remote):
                sent += _send_objects(objects, missing, remote)
                missing = _missing_in_remote(objects, hashes, remote)
        if missing:
            raise UserError(
                f"{len(missing)} of the objects of {run.id} did not reach the remote, such as {missing[0]}; push again"
            )
        _push_files(root, run, name)
    return sent


def _send_objects(objects: Path, md5s: Iterable[str], remote: Any) -> int:
    """Send these objects, lists of folders last; returns how many there were.

    DVC sends no file of a folder whose list the remote has, and none that its index of the remote names: it does not look.
    """
    ordered = sorted(md5s, key=lambda md5: md5.endswith(".dir"))
    for md5 in ordered:
        remote.fs.makedirs(remote.fs.parent(_remote_path(remote, md5)), exist_ok=True)
        remote.fs.put_file(str(object_cache.object_path(objects, md5)), _remote_path(remote, md5))
    return len(ordered)


def _push_files(root: Path, run: Run, name: str) -> None:
    """Push the files of a run's folder, its record last; raises a `UserError` for one that did not arrive whole."""
    with _open_remote(root, run.folder, name) as (_, remote):
        files = sorted(_files(run.folder), key=lambda path: path.name == run_record.RECORD_FILE)
        for path in files:
            target = remote.fs.join(remote.path, *RUNS_PATH, run.id, *path.relative_to(run.folder).parts)
            remote.fs.makedirs(remote.fs.parent(target), exist_ok=True)
            remote.fs.put_file(str(path), target)
            if (size := remote.fs.size(target)) != path.stat().st_size:
                raise UserError(f"{path} has {path.stat().st_size:,} bytes, but {size or 0:,} reached the remote; push again")


def pull(root: Path, run_id: str, name: str = "") -> tuple[Run, int]:
    """Fetch a run from the remote: its folder, unless it exists already, and its objects; returns (run, number of objects).

    Objects that are damaged here are set aside and fetched too. Afterwards every object is looked at and compared with its
    name. Raises `UserError` for those that the remote does not have, or has damaged.
    """
    folder, objects = root / "runs" / run_id, object_cache.objects_folder(root)
    if not run_record.is_recorded(root, run_id):
        with _open_remote(root, root, name) as (_, remote):
            _fetch_folder(root, run_id, remote)
    run = run_record.find(root, run_id)
    hashes = _output_hashes(run)
    cache_users.register(root)
    with _open_remote(root, folder, name) as (_, remote), object_cache.shared_lock(objects):
        object_cache.set_aside(objects, object_cache.damaged_objects(objects, hashes))
        absent = [md5 for md5 in hashes if not object_cache.object_path(objects, md5).exists()]
        fetched = _fetch_objects(objects, absent, remote)
        folders = [md5 for md5 in absent if md5.endswith(".dir")]  # whose files were not known, and so not checked, until now
        object_cache.set_aside(objects, object_cache.damaged_objects(objects, folders))
        fetched += _fetch_objects(objects, object_cache.missing_hashes(objects, hashes), remote)
    if missing := object_cache.missing_hashes(objects, hashes):
        raise UserError(
            f"{len(missing)} of the objects of {run_id} are not here after the pull, such as {missing[0]}; pull again"
        )
    return run, fetched


def _fetch_objects(objects: Path, md5s: Iterable[str], remote: Any) -> int:
    """Fetch these objects, several at a time; returns how many there were. Raises as `_fetch_object`."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return len(list(pool.map(lambda md5: _fetch_object(objects, md5, remote), md5s)))


def _fetch_object(objects: Path, md5: str, remote: Any) -> None:
    """Fetch an object, under another name until it was compared with its hash.

    Raises `UserError` if the remote does not have it, if it differs from its name, and for a list of a folder that names a
    file outside of it.
    """
    target, source = object_cache.object_path(objects, md5), _remote_path(remote, md5)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        remote.fs.get_file(source, str(partial))
        if object_cache.md5_of(partial) != md5.removesuffix(".dir"):
            raise UserError(f"the remote {remote.name!r} has a damaged object {md5}; delete {source} and push the run again")
        if md5.endswith(".dir"):
            object_cache.parse_folder_list(partial.read_bytes(), Path(source))
        partial.chmod(0o444)
        flush_to_disk(partial)
        partial.replace(target)
    except FileNotFoundError:
        raise UserError(f"the remote {remote.name!r} does not have the object {md5}; push the run again") from None
    finally:
        partial.unlink(missing_ok=True)


def _output_hashes(run: Run) -> list[str]:
    """The MD5 of every output in the run's dvc.lock and in its record; raises `UserError` for a dvc.lock that is damaged."""
    lock = run.folder / "dvc.lock"
    try:
        entries = parse_checked_entries(lock.read_text(encoding="utf-8")) if lock.is_file() else {}
    except ValueError as error:
        raise UserError(f"{lock} is damaged: {error}; `bonsai run` with the run's parameters makes another") from None
    hashes = [*object_cache.output_hashes(entries), *recorded_hashes(run.record)]
    return list(dict.fromkeys(hashes))


def _refuse_damaged(objects: Path, hashes: Iterable[str], advice: str) -> None:
    if lines := object_cache.set_aside(objects, object_cache.damaged_objects(objects, hashes)):
        more = f", and {len(lines) - 1} more" if lines[1:] else ""
        raise UserError(f"{lines[0]}{more}; {advice}")
    if missing := object_cache.missing_hashes(objects, hashes):
        raise UserError(f"the cache no longer has {len(missing)} of the objects, such as {missing[0]}; {advice}")


def _missing_in_remote(objects: Path, hashes: Iterable[str], remote: Any) -> list[str]:
    """Which of these objects, and of the files of these folders, the remote does not have whole."""
    return sorted(
        md5
        for md5 in object_cache.referenced_hashes(objects, hashes)
        if _size_in_remote(remote, md5) != object_cache.object_path(objects, md5).stat().st_size
    )


def _size_in_remote(remote: Any, md5: str) -> int | None:
    try:
        return int(remote.fs.size(_remote_path(remote, md5)))
    except FileNotFoundError:
        return None


def _remote_path(remote: Any, md5: str) -> str:
    return str(remote.odb.oid_to_path(md5))


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
    hash_database.delete_damaged(folder)
    hashes = {"site_cache_dir": str(hash_database.folder(folder))}
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
    if not is_run_id(run_id) or not remote.fs.exists(remote.fs.join(source_folder, run_record.RECORD_FILE)):
        raise UserError(f"the remote {remote.name!r} has no run {run_id!r}; `bonsai pull` without a name lists those it has")
    partial = root / "runs" / f".{run_id}.{os.getpid()}.partial"
    partial.mkdir(parents=True)
    try:
        for source in remote.fs.find(source_folder):
            relative = PurePosixPath(source).relative_to(PurePosixPath(source_folder))
            if not is_pushed_file(relative):
                raise UserError(
                    f"the remote {remote.name!r} has {source}, which is no file that is pushed of a run; do not use it"
                )
            target = partial / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.fs.get_file(source, str(target))
            target.chmod(0o600)
        write_state(
            partial / run_record.FOREIGN_FILE, {"remote": str(remote.name), "path": str(remote.path), "at": run_record.now()}
        )
        (partial / ".dvc" / "tmp").mkdir(parents=True)
        (partial / ".dvc" / "config").write_text(dvc_config(root, root / "runs" / run_id), encoding="utf-8")
        partial.rename(root / "runs" / run_id)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_pushed_file(path: PurePosixPath) -> bool:
    """Whether a run's file of that relative path may be pushed and pulled: by an allow-list, since a remote may be hostile."""
    if path.is_absolute() or any(part in ("..", ".") or "\\" in part or "\0" in part for part in path.parts):
        return False
    if len(path.parts) == 1:
        return path.name in PUSHED_FILES
    return path.parts[0] in PUSHED_FOLDERS and path.suffix in PUSHED_FOLDERS[path.parts[0]]


def is_run_id(name: str) -> bool:
    """Whether that can be the id of a run: a name of a folder that leaves none."""
    return bool(run_record.RUN_ID.fullmatch(name)) and "/" not in name and ".." not in name and "\0" not in name


def _files(folder: Path) -> Iterator[Path]:
    """The files of a run's folder to push; no links, since their targets are not pushed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_PUSHED and not (Path(parent) / name).is_symlink()]
        paths = (Path(parent) / name for name in names)
        yield from (path for path in paths if not path.is_symlink() and is_pushed_file(PurePosixPath(path.relative_to(folder))))
