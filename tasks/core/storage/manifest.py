"""The manifest of an artifact, checksums.json: the SHA-256 of every file in its folder, and of no other."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath

from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_file, write_json

CHECKSUMS = "checksums.json"
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_BYTES = 64_000_000


class DamagedArtifact(UserError):
    """An artifact whose files are not exactly those that its manifest lists. `reason` says which file and how."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{reason}; delete {folder}, and `bonsai run` makes it again")
        self.folder = folder
        self.reason = reason


def write_manifest(folder: Path) -> None:
    """Write the manifest of the files that are in the folder now; raises a `ValueError` if there are none."""
    names = [name for name in file_names(folder) if name != CHECKSUMS]
    if not names:
        raise ValueError(f"{folder} holds no file, so it is no artifact")
    write_json(folder / CHECKSUMS, {name: hash_file(folder / name) for name in names})


def read_manifest(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file by relative path; raises `DamagedArtifact` for a manifest that lists no file, or anything else."""
    path = folder / CHECKSUMS
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedArtifact(folder, f"{path} is missing") from None
    except (OSError, ValueError, RecursionError):
        raise DamagedArtifact(folder, f"{path} is damaged: it cannot be read") from None
    if not isinstance(manifest, dict) or not manifest:
        raise DamagedArtifact(folder, f"{path} is damaged: it lists no files")
    for name, checksum in manifest.items():
        if not isinstance(checksum, str) or not SHA256.fullmatch(checksum) or not _is_inside(name):
            raise DamagedArtifact(folder, f"{path} is damaged: {name!r:.80} is no file with its SHA-256")
    return manifest


def verify(folder: Path) -> None:
    """Raise a `DamagedArtifact` that names the first file that is missing, not in the manifest, or differs from its checksum."""
    for name in listed_files(folder):
        verify_file(folder, name)


def listed_files(folder: Path) -> dict[str, str]:
    """The manifest, after its names were compared with the files that are there; raises `DamagedArtifact`."""
    manifest = read_manifest(folder)
    present = set(file_names(folder)) - {CHECKSUMS}
    if missing := sorted(manifest.keys() - present):
        raise DamagedArtifact(folder, f"{folder / missing[0]} is missing")
    if extra := sorted(present - manifest.keys()):
        raise DamagedArtifact(folder, f"{folder / extra[0]} is not in {CHECKSUMS}: no stage wrote it")
    return manifest


def verify_file(folder: Path, name: str) -> Path:
    """The path of one file of an artifact, after it was compared with its checksum; raises `DamagedArtifact`."""
    path, expected = folder / name, read_manifest(folder).get(name)
    if expected is None:
        raise DamagedArtifact(folder, f"{path} is not in {CHECKSUMS}: no stage wrote it")
    try:
        stat = path.stat()
        if _hash_of_version(path, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino) != expected:
            raise DamagedArtifact(folder, f"{path} is damaged (its sha256 differs from {CHECKSUMS})")
    except FileNotFoundError:
        raise DamagedArtifact(folder, f"{path} is missing") from None
    except OSError as error:
        raise DamagedArtifact(folder, f"{path} cannot be read ({error.strerror})") from None
    return path


def root_hash(folder: Path) -> str:
    """The SHA-256 of the manifest, and so of the whole artifact; empty for a folder without one."""
    path = folder / CHECKSUMS
    return hash_file(path) if path.is_file() else ""


def file_names(folder: Path) -> list[str]:
    """The relative paths of everything in the folder but folders, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


@lru_cache(maxsize=50_000)
def _hash_of_version(path: Path, *_version: int) -> str:
    return hash_file(path)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = str(path) == name and "\\" not in name and "\0" not in name
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts
