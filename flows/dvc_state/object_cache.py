"""DVC's cache as files: where it is, what a dvc.lock needs of it, whether an object is what its name says, who is using it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dvc.config import Config

Entries = Mapping[str, Mapping[str, Any]]
"""What a dvc.lock says under `stages`."""


def place(root: Path) -> Path:
    """The folder that holds the project's objects, by the first two letters of their md5."""
    return Path(Config(str(root / ".dvc"))["cache"].get("dir") or root / ".dvc" / "cache") / "files" / "md5"


def path_of(objects: Path, md5: str) -> Path:
    return objects / md5[:2] / md5[2:]


def outputs(entries: Entries) -> Iterator[str]:
    """The md5 of every output that some stages have; a folder's ends in `.dir`."""
    for entry in entries.values():
        yield from (str(out["md5"]) for out in entry.get("outs", ()) if "md5" in out)


def needed(objects: Path, md5s: Iterable[str]) -> set[str]:
    """These objects and, for folders whose list is there, the files in them."""
    found: set[str] = set()
    for md5 in md5s:
        if md5 not in found:
            found.add(md5)
            found.update(listing(objects, md5).values())
    return found


def listing(objects: Path, md5: str) -> dict[str, str]:
    """The md5 of each file of a folder, by relative path; empty for a file, or when the list is lost."""
    try:
        return {str(each["relpath"]): str(each["md5"]) for each in json.loads(path_of(objects, md5).read_bytes())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def missing(objects: Path, md5s: Iterable[str]) -> list[str]:
    """Which of these objects, or of the files of these folders, the cache has not got."""
    return sorted(md5 for md5 in needed(objects, md5s) if not path_of(objects, md5).is_file())


def sound(path: Path) -> bool:
    """Whether the object still is what its name says: DVC itself trusts what is there, flipped bytes included."""
    return md5_of(path) == f"{path.parent.name}{path.name}".removesuffix(".dir")


def md5_of(path: Path) -> str:
    """A file's md5, DVC's name for it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def in_use(objects: Path) -> Iterator[None]:
    """Nothing is swept out of the cache while the block runs; any number may use it at once."""
    with _mark(objects, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(objects: Path) -> Iterator[bool]:
    """Whether nobody else uses the cache; if so, nobody begins to while the block runs."""
    with ExitStack() as held:
        try:
            held.enter_context(_mark(objects, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _mark(objects: Path, how: int) -> Iterator[None]:
    path = objects.parent.parent / "in_use.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, how)
        yield
