"""Files and folders of the user's own: checks, fingerprints, and the idx format."""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_file

MAX_IDX_BYTES = 4_000_000_000
JUNK_NAMES = (
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "$recycle.bin", "recycler", "recycled"),
    *("system volume information", "lost+found", "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"),
)
"""What Windows, macOS and storage devices (Synology, QNAP) leave in folders: thumbnails, icons, indices and recycle bins."""


def existing_path(path: str | Path, inside: Path | None = None) -> Path:
    """The path of a readable file or folder; with `inside`, of one in that folder. Raises a `UserError` with the nearest name."""
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(_missing_message(path))
    mode = path.stat().st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
        raise UserError(f"{path} is {kinds.get(stat.S_IFMT(mode), 'no file')}; name a file or a folder")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read by this user; change its permissions")
    if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
        raise UserError(f"{path} is a link that leads out of {inside}, to {path.resolve()}; put the file itself there")
    return path


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without hidden ones. Raises a `UserError` for links to folders and special files."""
    files = []
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in [*folders, *sorted(names)]:
            if not is_junk(name):
                path = existing_path(Path(directory, name), inside=folder)
                if not name.isprintable():
                    raise UserError(f"{str(path)!r} has a name that cannot be shown; rename it")
                files += [path] if path.is_file() else []
                if path.is_dir() and path.is_symlink():
                    raise UserError(f"{path} is a link to a folder; put the folder itself there")
    return sorted(files)


def fingerprint(path: str | Path) -> str:
    """The SHA-256 of a file, or of the names and contents of all files in a folder."""
    place = existing_path(path)
    if place.is_file():
        return hash_file(place)
    digest = sha256()
    for file in list_files(place):
        digest.update(f"{file.relative_to(place).as_posix()}\0{hash_file(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def matching_paths(pattern: str | Path) -> list[Path]:
    """The file or folder of this name, or else the files that match it as a pattern such as `data/*.csv`, sorted.

    Raises a `UserError` with the nearest name when there is none.
    """
    path = Path(pattern).expanduser()
    if path.exists() or not any(mark in str(path) for mark in "*?["):
        return [existing_path(path)]
    base = Path(path.anchor or ".")
    matches = sorted(match for match in base.glob(str(path.relative_to(base))) if not is_junk(match.name) and match.is_file())
    if not matches:
        raise UserError(f"no file matches {path}; write it as in data/*.csv, or name a folder")
    return [existing_path(match) for match in matches]


def fingerprint_of(paths: Sequence[Path]) -> str:
    """The fingerprint of a file or folder, or of the names and contents of several files."""
    if len(paths) == 1:
        return fingerprint(paths[0])
    digest = sha256()
    for path in paths:
        digest.update(f"{path.name}\0{hash_file(path)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def verified_path(path: str, expected: str = "") -> Path:
    """The user's own file or folder. Raises a `UserError` when its fingerprint differs from `expected` (empty: not checked)."""
    place = existing_path(path)
    _check_fingerprint(place, [place], expected)
    return place


def verified_paths(pattern: str, expected: str = "") -> list[Path]:
    """The user's own file or folder, or the files that match a pattern, checked as in `verified_path`."""
    paths = matching_paths(pattern)
    _check_fingerprint(Path(pattern), paths, expected)
    return paths


def _check_fingerprint(place: Path, paths: Sequence[Path], expected: str) -> None:
    if expected and (actual := fingerprint_of(paths)) != expected:
        raise UserError(
            f"{place} changed since this run was requested: its fingerprint was {expected[:12]}…, now {actual[:12]}…; "
            "request a new run, or restore the old content"
        )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of bytes, gzipped or not, as an array: images (N, H, W) or labels (N,).

    The format (http://yann.lecun.com/exdb/mnist): two zero bytes, the type (8: unsigned byte), the number of dimensions,
    then each dimension and the values, big-endian. Raises a `UserError` for a file that is damaged, cut short or too large.
    """
    if existing_path(path).stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); fetch or copy it again")
    with path.open("rb") as plain:
        compressed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        try:
            return _parse_idx(cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if compressed else plain, path)
        except EOFError:
            raise UserError(f"{path} is cut short: its gzip stream ends early; fetch or copy it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path} is damaged: {' '.join(str(error).split())}; fetch or copy it again") from None


def _parse_idx(file: BinaryIO, path: Path) -> NDArray[np.uint8]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise UserError(
            f"{path} is not an idx file: it begins with {head!r}; expected two zero bytes, a type and a dimension count"
        )
    if head[2] != 8:
        raise UserError(f"{path}: idx type {head[2]:#04x} is not read; expected 0x08, unsigned bytes")
    shape_bytes = file.read(4 * head[3])
    shape = tuple(int.from_bytes(shape_bytes[at : at + 4], "big") for at in range(0, len(shape_bytes), 4))
    expected = int(np.prod(shape, dtype=object)) if len(shape_bytes) == 4 * head[3] else 0
    if expected > MAX_IDX_BYTES:
        raise UserError(f"{path} announces {expected:,} values {shape}; at most {MAX_IDX_BYTES:,} are read")
    values = file.read(expected)
    if len(values) < expected or len(shape_bytes) < 4 * head[3]:
        raise UserError(f"{path} is cut short: its header announces {expected:,} values {shape}, it holds {len(values):,}")
    if file.read(1):
        raise UserError(f"{path} is longer than its header announces ({expected:,} values {shape}); it is not what it says")
    return np.frombuffer(values, np.uint8).reshape(shape)


def find_idx_pairs(place: Path) -> Iterator[tuple[Path, Path]]:
    """The images files of a folder, or the one given, each with its labels file."""
    images = [place] if place.is_file() else [path for path in list_files(place) if re.search(r"images.idx3", path.name)]
    for path in images:
        expected = path.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
        labels = [path.with_name(name) for name in (expected + ".gz", expected) if path.with_name(name).exists()]
        if not labels:
            raise UserError(f"{path} has no labels beside it; expected {expected}.gz or {expected} in {path.parent}")
        yield path, labels[0]


def is_junk(name: str) -> bool:
    """Whether a file or folder is not the user's but of a desktop, an archive or a storage device."""
    return name.startswith((".", "__MACOSX", "~$")) or name.lower() in JUNK_NAMES


def _missing_message(path: Path) -> str:
    """A message about a path that does not exist, with the nearest name in its folder."""
    parent = path.parent
    if not parent.exists():
        return f"{path} is not there, nor is its folder {parent}"
    names = sorted(entry.name for entry in parent.iterdir() if not is_junk(entry.name)) if parent.is_dir() else []
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    if near:
        return f"{path} is not there; did you mean {parent / near[0]}?"
    return f"{path} is not there; {parent} holds {', '.join(names[:8]) or 'nothing'}{' …' * (len(names) > 8)}"
