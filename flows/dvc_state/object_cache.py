"""DVC's object cache as files: its folder, the objects a dvc.lock refers to, checksums, and a lock for its users."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from dvc.config import Config

from flows.dvc_state.lock_file import LockEntries
from flows.system.state_files import DamagedFile

MD5 = re.compile(r"[0-9a-f]{32}")
DAMAGED_FOLDER = "damaged"
"""Where damaged objects go, beside the folder of the intact ones."""


def objects_folder(root: Path) -> Path:
    """The folder that holds the project's objects, in subfolders named after the first two letters of their MD5."""
    return Path(Config(str(root / ".dvc"))["cache"].get("dir") or root / ".dvc" / "cache") / "files" / "md5"


def object_path(objects: Path, md5: str) -> Path:
    """The file of the object with this MD5."""
    return objects / md5[:2] / md5[2:]


def object_hash(path: Path) -> str:
    """The MD5 in the name of an object's file; that of a folder ends in `.dir`."""
    return f"{path.parent.name}{path.name}"


def output_hashes(entries: LockEntries) -> Iterator[str]:
    """The MD5 of every output of these stages; that of a folder ends in `.dir`."""
    for entry in entries.values():
        yield from (str(out["md5"]) for out in entry.get("outs", ()) if "md5" in out)


def referenced_hashes(objects: Path, md5s: Iterable[str]) -> set[str]:
    """These objects and, for each folder whose list is in the cache, the files in it."""
    hashes: set[str] = set()
    for md5 in md5s:
        if md5 not in hashes:
            hashes.add(md5)
            hashes.update(folder_files(objects, md5).values())
    return hashes


def folder_files(objects: Path, md5: str) -> dict[str, str]:
    """The MD5 of each file of a folder, by relative path; empty for a file, or when the folder's list is missing.

    Raises `DamagedFile` for a list that differs from its name, and for one that names a file outside of its folder.
    """
    try:
        return read_folder_list(objects, md5) if md5.endswith(".dir") else {}
    except FileNotFoundError:
        return {}


def read_folder_list(objects: Path, md5: str) -> dict[str, str]:
    """The MD5 of each file of a folder, by relative path, as its list in the cache says.

    Raises `FileNotFoundError` when the list is not in the cache, and `DamagedFile` when it differs from its name or is none.
    """
    path = object_path(objects, md5)
    content = path.read_bytes()
    if f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir" != md5:
        raise DamagedFile(path, "its content differs from its name; `bonsai doctor --full` sets it aside")
    return parse_folder_list(content, path)


def parse_folder_list(content: bytes, path: Path) -> dict[str, str]:
    """The MD5 of each file of a folder, by relative path; raises `DamagedFile`, also for what a hostile remote may list.

    Refused are paths that are absolute, leave the folder, or name a file twice, and hashes that are none.
    """
    try:
        files = [(file["relpath"], file["md5"]) for file in json.loads(content)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DamagedFile(path, "it is no list of a folder's files") from None
    for name, md5 in files:
        if not isinstance(md5, str) or not MD5.fullmatch(md5):
            raise DamagedFile(path, f"it lists {md5!r:.80}, which is no hash; do not use the remote or the run it is from")
        if not isinstance(name, str) or not _is_inside(name):
            raise DamagedFile(
                path, f"it lists {name!r:.80}, a file outside of its folder; do not use the remote or the run it is from"
            )
    if len(files) != len({name for name, _ in files}):
        raise DamagedFile(path, "it lists a file twice")
    return dict(files)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = "\\" not in name and "\0" not in name and str(path) == name
    return plain and not path.is_absolute() and ".." not in path.parts and bool(path.parts) and len(name) < 4096


def check_folder_lists(objects: Path, md5s: Iterable[str]) -> None:
    """Raise a `UserError` for the list of a folder that is damaged or names a file outside of it, as a hostile remote's may."""
    for md5 in md5s:
        folder_files(objects, md5)


def missing_hashes(objects: Path, md5s: Iterable[str]) -> list[str]:
    """Which of these objects, or of the files of these folders, are not in the cache."""
    return sorted(md5 for md5 in referenced_hashes(objects, md5s) if not object_path(objects, md5).is_file())


def damaged_objects(objects: Path, md5s: Iterable[str]) -> list[Path]:
    """Which of these objects, and of the files of these folders, are in the cache and differ from their names.

    Raises `DamagedFile` for a list of a folder that is intact but names a file outside of it.
    """
    damaged: dict[Path, None] = {}
    checked: set[Path] = set()

    def check(path: Path) -> bool:
        if path not in checked and path.is_file():
            checked.add(path)
            if not is_intact(path):
                damaged[path] = None
        return path in checked and path not in damaged

    for md5 in dict.fromkeys(md5s):
        if check(object_path(objects, md5)) and md5.endswith(".dir"):
            for each in read_folder_list(objects, md5).values():
                check(object_path(objects, each))
    return list(damaged)


def set_aside(objects: Path, paths: Iterable[Path]) -> list[str]:
    """Move damaged objects out of the cache, so that they are made or fetched again; returns a line for each."""
    lines = []
    for path in paths:
        target = objects.parents[1] / DAMAGED_FOLDER / f"{object_hash(path)}-{secrets.token_hex(4)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        lines.append(f"the cached object {object_hash(path)} was damaged; it is set aside as {target}")
    return lines


def is_intact(path: Path) -> bool:
    """Whether the object's content matches its name. DVC itself does not check this again."""
    return md5_of(path) == object_hash(path).removesuffix(".dir")


def md5_of(path: Path) -> str:
    """A file's MD5, which is DVC's name for its content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def shared_lock(objects: Path) -> Iterator[None]:
    """Use the cache: no garbage is collected from it while the block runs. Any number of processes may hold this lock."""
    with _lock_file(objects, fcntl.LOCK_SH):
        yield


@contextmanager
def exclusive_lock(objects: Path) -> Iterator[bool]:
    """Yield whether nobody else uses the cache; if so, everybody who wants to waits until the block ends."""
    with ExitStack() as stack:
        try:
            stack.enter_context(_lock_file(objects, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _lock_file(objects: Path, operation: int) -> Iterator[None]:
    path = objects.parent.parent / "in_use.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, operation)
        yield
