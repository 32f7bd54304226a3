"""Safe access to the project's files: checked names and paths, cached JSON, and the error for what cannot be read."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from flows import settings
from flows.runs import record_file
from tasks.core.storage import manifest

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
"""Valid names of runs, use cases and recipes; they cannot leave a folder."""
STAGE = re.compile(r"[A-Za-z0-9_-]{1,60}(@[A-Za-z0-9._-]{1,120})?")
MAX_JSON_BYTES = 64_000_000


class Unreadable(Exception):
    """Something that cannot be shown. Holds the catalogue key of the message and the values of its placeholders."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(f"{key} {values}")
        self.key = key
        self.values = values


def project() -> Path:
    """Root of the project that the dashboard was started in."""
    return settings.project_root()


def slug(name: object) -> str:
    """The name itself; raises `Unreadable` if it is not a valid one."""
    if not isinstance(name, str) or not SLUG.fullmatch(name) or ".." in name:
        raise Unreadable("unreadable.name", name=str(name))
    return name


def inside(root: Path, path: Path) -> Path:
    """The resolved path; raises `Unreadable` unless it is in the project or in DVC's cache."""
    real = path.resolve()
    if not any(real.is_relative_to(place) for place in _allowed(root)):
        raise Unreadable("unreadable.outside", file=path.name)
    return real


def read_json(root: Path, path: Path) -> Any:
    """The content of a JSON file, cached until the file changes. The result is shared: do not modify it."""
    real = inside(root, path)
    try:
        check_artifact(root, path)
        stat = real.stat()
        if stat.st_size > MAX_JSON_BYTES:
            raise Unreadable("unreadable.large", file=path.name, most=f"{MAX_JSON_BYTES // 1_000_000} MB")
        return _parsed(real, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except FileNotFoundError:
        raise Unreadable("unreadable.missing", file=path.name) from None
    except (ValueError, RecursionError):
        raise Unreadable("unreadable.damaged", file=path.name) from None
    except OSError as error:
        raise Unreadable("unreadable.closed", file=path.name, reason=error.strerror or "") from None


def check_artifact(root: Path, path: Path) -> None:
    """Raise `Unreadable` if a file of an artifact differs from the artifact's manifest, or the manifest from the run's record.

    A file outside of `data`, and one of an artifact without a manifest that no record knows, is not checked.
    """
    relative = path.relative_to(root).parts if path.is_relative_to(root) else ()
    start = relative.index("data") if "data" in relative else len(relative)
    workspace = root.joinpath(*relative[:start])
    outs = _recorded_manifests(workspace)
    for depth in range(start + 3, len(relative)):
        folder = root.joinpath(*relative[:depth])
        expected = outs.get("/".join(relative[start:depth]), "")
        if not expected and not (folder / manifest.CHECKSUMS).is_file():
            continue
        try:
            if expected and manifest.root_hash(folder) != expected:
                raise Unreadable("unreadable.damaged", file=manifest.CHECKSUMS)
            manifest.listed_files(folder)
            if path.name != manifest.CHECKSUMS:
                manifest.verify_file(folder, "/".join(relative[depth:]))
        except manifest.DamagedArtifact:
            raise Unreadable("unreadable.damaged", file=path.name) from None
        return


def _recorded_manifests(workspace: Path) -> dict[str, str]:
    """The hash of each output's manifest, by path, as the run's record has it; empty for the project's own folder."""
    path = workspace / record_file.RECORD_FILE
    try:
        stat = path.stat()
    except OSError:
        return {}
    return _manifests(workspace, stat.st_mtime_ns, stat.st_size, stat.st_ino)


@lru_cache(maxsize=512)
def _manifests(workspace: Path, *_version: int) -> dict[str, str]:
    record, _ = record_file.read(workspace)
    outs = (out for entry in record["stages"].values() for out in (entry.get("outs") or {}).items())
    return {path: str(out["manifest"]) for path, out in outs if out.get("manifest")}


def read_object(root: Path, path: Path) -> dict[str, Any]:
    """The content of a JSON file whose top level must be an object."""
    content = read_json(root, path)
    if not isinstance(content, dict):
        raise Unreadable("unreadable.damaged", file=path.name)
    return content


@lru_cache(maxsize=512)
def _parsed(path: Path, mtime_ns: int, size: int, inode: int) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def _allowed(root: Path) -> tuple[Path, ...]:
    """The project folder, and DVC's cache if it is elsewhere."""
    from dvc.config import Config, ConfigError

    try:
        cache = Config(str(root / ".dvc"))["cache"].get("dir")
    except (ConfigError, OSError):
        cache = None
    return (root.resolve(), (root / ".dvc" / cache).resolve()) if cache else (root.resolve(),)
