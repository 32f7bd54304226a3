"""Restore a run in the project's own folder: its parameters, its artifacts, on request its code. Unsaved changes are not lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from dvc.utils.serialize import load_yaml

from flows.dvc_state import object_cache, stage_graph
from flows.dvc_state.publish import publish, unsaved_outputs
from flows.dvc_state.stage_state import open_repo, read_lock_file
from flows.execution.plan import project_status
from flows.execution.run_executor import SUCCEEDED
from flows.maintenance.compare import code_hashes
from flows.parameters import run_request, yaml_edit
from flows.runs import recovery, run_record
from flows.runs.run_record import Run
from tasks.core.errors import UserError


def restore(root: Path, run: Run, *, code: bool = False, force: bool = False, trusted: bool = False) -> list[str]:
    """Copy the run's parameters for its use cases to params.yaml and check out its outputs; with `code`, copy its code too.

    Returns lines for people about what is not as in the run. Raises `UserError`, and changes nothing, when a change that is
    saved nowhere else would be lost (unless `force`), when the cache no longer has the run's outputs, or when the code is that
    of a run from a remote that is not `trusted`.
    """
    recovery.recover(root)
    if code and not trusted:
        run_record.check_trust(run, "--code copies its code to tasks/, where it is run")
    params = load_yaml(str(run.folder / "params.yaml"))
    use_cases = list(params["use_cases"])
    completed = [name for name, entry in run.record.get("stages", {}).items() if entry.get("state") in SUCCEEDED]
    objects = object_cache.objects_folder(root)
    with chdir(root), object_cache.shared_lock(objects):
        entries = {name: entry for name, entry in read_lock_file(run.folder).items() if name in completed}
        if not entries:
            raise UserError(f"no stage of {run.id} was completed, so there is nothing to restore")
        hashes = list(object_cache.output_hashes(entries))
        if damages := object_cache.set_aside(objects, object_cache.damaged_objects(objects, hashes)):
            more = f", and {len(damages) - 1} more" if damages[1:] else ""
            raise UserError(f"{damages[0]}{more}; `bonsai pull {run.id}`, or `bonsai run` with its parameters, brings them back")
        if missing := object_cache.missing_hashes(objects, hashes):
            raise UserError(
                f"the cache no longer has {len(missing)} of the objects of {run.id}; `bonsai pull {run.id}` fetches them "
                "from a remote, and `bonsai run` with its parameters makes them again"
            )
        changed = changed_code(root, run.folder)
        extra_outputs = _extra_outputs(root, use_cases, set(params["recipes"]), {str(seed) for seed in params.get("seeds", [])})
        if not force:
            _check_nothing_is_lost(root, params, [*completed, *extra_outputs], changed if code else [])
        if code and changed:
            _restore_code(root, run.folder)
        yaml_edit.replace_sections(root / "params.yaml", params)
        for paths in extra_outputs.values():
            for path in paths:
                shutil.rmtree(path, ignore_errors=True)
        lines = list[str]()
        lines += [f"kept as it was: {line}" for line in publish(root, entries, force=force, on_message=lines.append)]
        _check_restored(root, entries, objects)
        stale = [name for name, reasons in project_status(root, use_cases).items() if reasons]
    if changed and not code:
        lines.append(
            f"the code has changed since that run ({_abbreviate(changed)}); to have the run's too, add --code"
            + (f", or check out {run.record['code']['commit'][:10]}" if run.record.get("code", {}).get("commit") else "")
        )
    return [*lines, *([f"not up to date: {_abbreviate(stale)}"] if stale else [])]


def _check_restored(root: Path, entries: Mapping[str, Any], objects: Path) -> None:
    """Raise a `UserError` if an output that was restored is not in the project as the cache has it.

    Those that were skipped, and so kept, are not looked at.
    """
    recorded = read_lock_file(root)
    for name, entry in entries.items():
        for out in entry["outs"] if recorded.get(name) == entry else ():
            for file, md5 in object_cache.folder_files(objects, out["md5"]).items():
                place = root / out["path"] / file
                if not place.is_file() or object_cache.md5_of(place) != md5:
                    raise UserError(f"{place} is not as in the run, though it was restored; is the disk full or faulty?")


def changed_code(root: Path, folder: Path) -> list[str]:
    """The files of code that differ between the project and a run's copy."""
    ours, theirs = code_hashes(root), code_hashes(folder)
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def _extra_outputs(root: Path, use_cases: Iterable[str], recipes: set[str], seeds: set[str]) -> dict[str, list[Path]]:
    """The outputs, by stage, for recipes and seeds that the run did not have: with them, stages that read their folder would
    be stale.
    """
    with open_repo(root) as repo:
        stages = stage_graph.select(stage_graph.read(repo), use_cases)
    return {
        name: [root / out for out in stage.outs]
        for name, stage in stages.items()
        if (stage.recipe and stage.recipe not in recipes) or (stage.seed and stage.seed not in seeds)
    }


def _check_nothing_is_lost(root: Path, params: dict[str, Any], stages: list[str], code: list[str]) -> None:
    if changed := unsaved_outputs(root, stages):
        path, stage = next(iter(changed.items()))
        raise UserError(
            f"{path} was changed by hand and is saved nowhere; keep it with `dvc commit -f {stage}`, or lose it with --force"
        )
    ours, use_cases = load_yaml(str(root / "params.yaml")), list(params["use_cases"])
    same = (
        ours["recipes"] == params["recipes"]
        and (ours.get("seeds") or []) == (params.get("seeds") or [])
        and all(ours["use_cases"].get(name) == params["use_cases"][name] for name in use_cases)
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
    """Whether the last commit has all of these paths in their current state."""
    status = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=all", "--", *paths]
    try:
        tracked = ["git", "-C", str(root), "ls-files", "--error-unmatch", "--", *paths]
        subprocess.run(tracked, capture_output=True, check=True, timeout=20)
        return not subprocess.run(status, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return False


def _in_a_run(root: Path, use_cases: list[str]) -> bool:
    """Whether some run has the parameters that params.yaml has for these use cases."""
    try:
        params_hash = run_request.build_request(root, use_cases).hash
    except UserError:  # such as a use case that params.yaml lacks
        return False
    return any(run.record.get("params_hash") == params_hash for run in run_record.iter_runs(root))


def _restore_code(root: Path, folder: Path) -> None:
    """Replace the project's tasks/ and dvc.yaml by the run's."""
    for name in set(code_hashes(root)) - set(code_hashes(folder)):
        (root / name).unlink()
    for name in code_hashes(folder):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, root / name)


def _abbreviate(names: list[str], max_names: int = 3) -> str:
    return ", ".join(names[:max_names]) + (f" and {len(names) - max_names} more" if len(names) > max_names else "")
