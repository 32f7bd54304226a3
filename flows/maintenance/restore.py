"""Make the project's own folder what a run was: its parameters, its artifacts, on request its code; nothing unsaved is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.utils.serialize import load_yaml

from flows.dvc_state import object_cache, stage_graph
from flows.dvc_state.publish import publish, unsaved_outputs
from flows.dvc_state.stage_state import open_repo, read_lock_file, working_directory
from flows.execution.plan import status
from flows.execution.run_executor import GOOD
from flows.maintenance.compare import files
from flows.parameters import run_request, yaml_edit
from flows.runs import recovery, run_record
from flows.runs.run_record import Run
from tasks.core.errors import UserError


def restore(root: Path, run: Run, *, code: bool = False, force: bool = False) -> list[str]:
    """Take over the run's params.yaml for its use cases, and check out what its stages made; `code` its tasks/ and dvc.yaml too.

    Says in one line each what a person should know. Raises `UserError`, with everything as it was, when something would be lost
    that is saved nowhere else (`force` lets go of it), or when the cache no longer has what the run made.
    """
    recovery.recover(root)
    wanted = load_yaml(str(run.folder / "params.yaml"))
    use_cases = list(wanted["use_cases"])
    good = [name for name, entry in run.record.get("stages", {}).items() if entry.get("state") in GOOD]
    objects = object_cache.objects_folder(root)
    with working_directory(root), object_cache.shared_lock(objects):
        entries = {name: entry for name, entry in read_lock_file(run.folder).items() if name in good}
        if not entries:
            raise UserError(f"no stage of {run.id} was done, so there is nothing to restore")
        if lost := object_cache.missing_hashes(objects, object_cache.output_hashes(entries)):
            raise UserError(
                f"the cache has no longer {len(lost)} of the objects that {run.id} made; `bonsai pull {run.id}` brings them "
                "from a remote, and `bonsai run` with its parameters makes them again"
            )
        others = changed_code(root, run.folder)
        leaving = _leaving(root, use_cases, set(wanted["recipes"]))
        if not force:
            _refuse_to_lose(root, wanted, [*good, *leaving], others if code else [])
        if code and others:
            _take_code(root, run.folder)
        yaml_edit.replace_sections(root / "params.yaml", wanted)
        for paths in leaving.values():
            for path in paths:
                shutil.rmtree(path, ignore_errors=True)
        said = [f"kept as it was: {line}" for line in publish(root, entries, force=force)]
        late = [name for name, reasons in status(root, use_cases).items() if reasons]
    if others and not code:
        said.append(
            f"the code has changed since that run ({_some(others)}); to have the run's too, add --code"
            + (f", or check out {run.record['code']['commit'][:10]}" if run.record.get("code", {}).get("commit") else "")
        )
    return [*said, *([f"not up to date: {_some(late)}"] if late else [])]


def changed_code(root: Path, folder: Path) -> list[str]:
    """The files of code that differ between the project and a run's snapshot."""
    ours, theirs = files(root), files(folder)
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def _leaving(root: Path, use_cases: Iterable[str], recipes: set[str]) -> dict[str, list[Path]]:
    """Outputs of these use cases for recipes that the run had not: what depends on their folder is not the run's with them."""
    with open_repo(root) as repo:
        stages = stage_graph.select(stage_graph.read(repo), use_cases)
    return {
        name: [root / out for out in stage.outs] for name, stage in stages.items() if stage.recipe and stage.recipe not in recipes
    }


def _refuse_to_lose(root: Path, wanted: dict[str, Any], stages: list[str], code: list[str]) -> None:
    if changed := unsaved_outputs(root, stages):
        path, stage = next(iter(changed.items()))
        raise UserError(
            f"{path} was changed by hand and is saved nowhere; keep it with `dvc commit -f {stage}`, or lose it with --force"
        )
    ours, use_cases = load_yaml(str(root / "params.yaml")), list(wanted["use_cases"])
    same = ours["recipes"] == wanted["recipes"] and all(
        ours["use_cases"].get(name) == wanted["use_cases"][name] for name in use_cases
    )
    if not same and not _in_git(root, ["params.yaml"]) and not _in_a_run(root, use_cases):
        raise UserError(
            "params.yaml has changes that no commit and no run has; keep them with `git commit params.yaml`, "
            "or lose them with --force"
        )
    if code and not _in_git(root, ["tasks", "dvc.yaml"]):
        raise UserError(
            "tasks/ or dvc.yaml has changes that no commit has; keep them with `git commit`, or lose them with --force"
        )


def _in_git(root: Path, paths: list[str]) -> bool:
    """Whether the last commit has all of these as they are."""
    command = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=all", "--", *paths]
    try:
        known = ["git", "-C", str(root), "ls-files", "--error-unmatch", "--", *paths]
        subprocess.run(known, capture_output=True, check=True, timeout=20)
        return not subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return False


def _in_a_run(root: Path, use_cases: list[str]) -> bool:
    """Whether some run was made with the parameters that params.yaml has for these use cases."""
    try:
        now = run_request.build_request(root, use_cases).hash
    except UserError:  # such as a use case that params.yaml has not got
        return False
    return any(run.record.get("params_hash") == now for run in run_record.iter_runs(root))


def _take_code(root: Path, folder: Path) -> None:
    """The run's tasks/ and dvc.yaml in place of the project's."""
    for name in set(files(root)) - set(files(folder)):
        (root / name).unlink()
    for name in files(folder):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, root / name)


def _some(names: list[Any], most: int = 3) -> str:
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
