"""Create a run's workspace: dvc.yaml, a copy of the code, params.yaml, dvc.lock, and a DVC config on the project's cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from dvc.config import Config

from flows.dvc_state import hash_database
from flows.parameters import run_request
from flows.parameters.run_request import RunRequest
from flows.runs import run_record


def create_workspace(root: Path, folder: Path, request: RunRequest) -> None:
    """Make the existing folder `folder` a workspace for `request`.

    It has its own copy of the code, so that an edit of the project during the run changes nothing. Its dvc.lock begins as a
    copy of the project's, or of that of the last run with the same parameters. `dvc repro` in it repeats the run.
    """
    for name in ("dvc.yaml", ".dvcignore"):
        if (root / name).exists():
            shutil.copy2(root / name, folder / name)
    shutil.copytree(root / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    run_request.write_params(request.values, folder / "params.yaml")
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(dvc_config(root, folder), encoding="utf-8")
    lock_file = _lock_file_of_same_request(root, request) or root / "dvc.lock"
    if lock_file.exists():
        shutil.copy2(lock_file, folder / "dvc.lock")
    for path in request.links:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to((root / path).resolve())


def _lock_file_of_same_request(root: Path, request: RunRequest) -> Path | None:
    """The dvc.lock of the last run with the same parameters; None where they are the project's own, or no run had them."""
    if request.unmodified:
        return None
    for run in run_record.recent_runs(root):
        same = run.record.get("params_hash") == request.hash and run.record.get("state") == "Completed"
        if same and not run_record.is_foreign(run.folder):  # hashes that somebody else claims are not believed
            return run.folder / "dvc.lock"
    return None


def dvc_config(root: Path, folder: Path) -> str:
    """The .dvc/config of a workspace without git, on the project's cache.

    Its hash database lies in the workspace, so that deleting the folder leaves nothing. It names the remotes of the
    project's .dvc/config, so that `dvc push` and `dvc pull` work in it, but none of their secrets.
    """
    project = Config(str(root / ".dvc"))
    cache, shared = project["cache"], project.load_one("repo")
    cache_dir = cache.get("dir") or str(root / ".dvc" / "cache")
    link_types = ",".join(cache.get("type") or ["reflink", "hardlink", "copy"])
    hashes_dir = hash_database.folder(folder)
    default = f'    remote = "{name}"\n' if (name := shared.get("core", {}).get("remote")) else ""
    remotes = "".join(
        f'[\'remote "{name}"\']\n    url = "{remote["url"]}"\n' for name, remote in shared.get("remote", {}).items()
    )
    return (
        "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
        f'    site_cache_dir = "{hashes_dir}"\n{default}[cache]\n    dir = "{cache_dir}"\n    type = "{link_types}"\n{remotes}'
    )
