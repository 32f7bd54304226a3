"""DVC's run-cache, believed only where it can be checked: which outputs a stage had with the same inputs."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
from dvc.stage.cache import StageCache, _get_cache_hash, _get_stage_hash
from dvc.utils.serialize import load_yaml
from voluptuous import Invalid


class CheckedRunCache(StageCache):  # type: ignore[misc]  # DVC has no types
    """DVC's run-cache that skips entries whose content differs from their name, and folders that hold none.

    DVC takes the newest file of a folder for an entry: it fails where a folder is empty, as a kill or a collection of garbage
    leaves it, and believes a file with a flipped bit. An entry that is skipped is replaced when its stage has run again.
    """

    def _load(self, stage: Any) -> dict[str, Any] | None:
        """The newest intact entry with the stage's command, dependencies and parameters; None if there is none."""
        key = _get_stage_hash(stage)
        for path in sorted(Path(self._get_cache_dir(key)).glob("*"), key=_modified_at, reverse=True):
            if (entry := self._load_cache(key, path.name)) is not None:
                return entry
        return None

    def _load_cache(self, key: str, value: str) -> dict[str, Any] | None:
        """The entry of that key and name; None where there is none or it is damaged."""
        try:
            entry: dict[str, Any] = COMPILED_LOCK_FILE_STAGE_SCHEMA(load_yaml(self._get_cache_path(key, value)))
            names = _get_cache_hash(deepcopy(entry), key=True), _get_cache_hash(deepcopy(entry))
        except (OSError, DvcException, Invalid, ValueError, TypeError):
            return None
        return entry if names == (key, value) else None


def remove_empty_folders(run_cache: Path) -> None:
    """Remove the folders of the run-cache that hold no entry any more; nobody else may use the cache meanwhile."""
    for folder in (*run_cache.glob("??/*"), *run_cache.glob("??")):
        with suppress(OSError):  # it holds something
            folder.rmdir()


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
