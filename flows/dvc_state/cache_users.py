"""The projects that use an object cache: each names itself in the cache, so that garbage collection knows them all."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from flows.dvc_state import object_cache
from flows.system.state_files import read_state, write_state

FOLDER = "users"


def register(root: Path) -> None:
    """Name the project among the users of its cache, unless it is there already."""
    path = _file(root)
    if not path.exists() and (root / ".dvc").is_dir():
        write_state(path, {"project": str(root.resolve())})


def others(root: Path) -> dict[Path, Path]:
    """The other projects that use this project's cache, each with the file that names it.

    Raises `DamagedFile` for a file that cannot be read.
    """
    own, folder = root.resolve(), _folder(root)
    users = {Path(str(read_state(path).get("project", ""))): path for path in sorted(folder.glob("*.json"))}
    return {project: path for project, path in users.items() if project != own}


def _folder(root: Path) -> Path:
    return object_cache.objects_folder(root).parents[1] / FOLDER


def _file(root: Path) -> Path:
    return _folder(root) / f"{sha256(str(root.resolve()).encode()).hexdigest()[:24]}.json"
