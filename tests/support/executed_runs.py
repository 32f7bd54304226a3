"""Runs of the toy project, executed without Prefect, and what the tests of their maintenance ask about them."""

from __future__ import annotations

import json
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from flows.dvc_state import object_cache
from flows.dvc_state.publish import publish
from flows.dvc_state.stage_state import StageStore
from flows.execution.plan import project_status
from flows.execution.run_executor import RunExecutor
from flows.parameters import run_request
from flows.parameters.run_request import RunRequest
from flows.runs import run_record
from flows.runs.run_record import Run
from flows.runs.workspace import create_workspace
from tests.support.toy_project import SMALL, use_toy_registry

COMMENTED_PARAMS = SMALL.replace("recipes:", "# the recipes, with a word about them\nrecipes:").replace("half: [", "half:  [")


def toy_request(root: Path, **arguments: Any) -> RunRequest:
    """A request for a run of the use case `toy`; `arguments` as of `build_request`."""
    return run_request.build_request(root, ["toy"], **arguments)


def execute_run(root: Path, **arguments: Any) -> Run:
    """Execute a run of the toy without Prefect; published in the project's own folder when nothing was set."""
    request = toy_request(root, **arguments)
    run = run_record.create(root, request, trigger="test")
    create_workspace(root, run.folder, request)
    with chdir(run.folder), StageStore(run.folder) as store:
        run.update(state="Running", started_at=run_record.now(), stages={name: {"state": "Pending"} for name in store.stages})
        executor = RunExecutor(root, run, store)
        for name in store.stages:
            executor.execute(name)
        executor.finish()
    if request.unmodified:
        with chdir(root):
            publish(root, store.entries(store.stages))
    return run


def adopt_copy(folder: Path, original: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a copy of a project independent of the original, and the current directory of this process."""
    for config in folder.glob("runs/*/.dvc/config"):
        config.write_text(config.read_text().replace(str(original), str(folder)))
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def both_runs(project: Path) -> tuple[Run, Run]:
    """(the run with the parameters of params.yaml, the one with width 5)."""
    second, first = run_record.iter_runs(project)
    return (first, second) if first.record["whole"] else (second, first)


def commit_params(project: Path) -> None:
    """Commit params.yaml in a new git repository."""
    git = ["git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "Keep"]):
        subprocess.run([*git, *command], check=True, capture_output=True)


def model_sum(project: Path) -> float:
    """The number that the toy's model consists of."""
    return float(json.loads((project / "data" / "toy" / "model" / "model.json").read_text())["sum"])


def is_up_to_date(project: Path) -> bool:
    """Whether every stage of the toy is up to date in the project's own folder."""
    with chdir(project):
        return not any(project_status(project, ["toy"]).values())


def cached_objects(project: Path) -> set[Path]:
    """The files of the project's object cache."""
    return set(object_cache.objects_folder(project).glob("??/*"))
