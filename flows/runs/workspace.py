"""Make a folder a workspace: the score, the code as it is now, parameters, and the project's cache and memory."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

from dvc.config import Config

from flows.parameters import run_request
from flows.parameters.run_request import RunRequest
from flows.runs import run_record

RUNS_LOOKED_AT = 30


def create_workspace(root: Path, folder: Path, asked: RunRequest) -> None:
    """Make the existing folder `folder` a workspace for what was asked.

    It has its own copy of the code, so that editing the project while it works changes nothing, and its own dvc.lock, which
    begins with what the project's remembers, or another run that was asked for the same. `dvc repro` in it repeats what was
    asked.
    """
    for name in ("dvc.yaml", ".dvcignore"):
        if (root / name).exists():
            shutil.copy2(root / name, folder / name)
    shutil.copytree(root / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    run_request.write_params(asked.values, folder / "params.yaml")
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(dvc_config(root, folder), encoding="utf-8")
    memory = _same(root, asked) or root / "dvc.lock"
    if memory.exists():
        shutil.copy2(memory, folder / "dvc.lock")
    for path in asked.links:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to((root / path).resolve())


def _same(root: Path, asked: RunRequest) -> Path | None:
    """The dvc.lock of the last run with the same parameters, where they are not the project's own."""
    if asked.unmodified:
        return None
    for run in islice(run_record.iter_runs(root), RUNS_LOOKED_AT):
        if run.record.get("params_hash") == asked.hash and run.record.get("state") == "Completed":
            return run.folder / "dvc.lock"
    return None


def dvc_config(root: Path, folder: Path) -> str:
    """A workspace without git on the project's cache; its hash state is its own, so deleting the folder leaves nothing.

    It knows the remotes that the project's .dvc/config names, so that DVC's own push and pull work in it; not their secrets.
    """
    project = Config(str(root / ".dvc"))
    cache, shared = project["cache"], project.load_one("repo")
    place = cache.get("dir") or str(root / ".dvc" / "cache")
    kinds = ",".join(cache.get("type") or ["reflink", "hardlink", "copy"])
    state = folder / ".dvc" / "tmp" / "site"
    default = f'    remote = "{name}"\n' if (name := shared.get("core", {}).get("remote")) else ""
    remotes = "".join(
        f'[\'remote "{name}"\']\n    url = "{remote["url"]}"\n' for name, remote in shared.get("remote", {}).items()
    )
    return (
        "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
        f'    site_cache_dir = "{state}"\n{default}[cache]\n    dir = "{place}"\n    type = "{kinds}"\n{remotes}'
    )
