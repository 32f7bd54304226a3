"""Verify a run: execute its stages again in a clean clone without any cache, and compare each stage's outputs."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dvc.utils.serialize import load_yaml

from flows.dvc_state import object_cache
from flows.dvc_state.stage_graph import Stage, load_stages
from flows.dvc_state.stage_state import read_lock_file
from flows.execution.stage_process import run_stage_process
from flows.maintenance.compare import flatten
from flows.runs import run_record
from flows.runs.run_record import Run
from flows.runs.workspace import dvc_config
from flows.system.file_locks import acquire_slots
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import CHECKSUMS
from tasks.core.storage.atomic_files import write_json

TIMING_FILES = ("latency.json", "timing.json")
"""Files with measured times: the only ones that may differ, within a tolerance."""
TOLERANCE = 1.0
"""A factor of two: small networks take 0.06 ms in one process and 0.09 ms in the next, on one idle machine."""
VERDICTS_FILE = "verified.json"
TIME_NAME = re.compile(r"(^|\.)(median_ms|wall_s)$")

VERIFIED = ("identical", "within tolerance")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one stage, executed again on the run's own inputs."""

    stage: str
    state: Literal["identical", "within tolerance", "differs", "failed"]
    text: str = ""
    """The first artifact that differs and how, or by how much the latencies deviate."""


def verify(
    root: Path,
    run: Run,
    *,
    tolerance: float = TOLERANCE,
    trusted: bool = False,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Execute every stage that the run completed, in order, in a new folder with the run's code and parameters.

    Each stage gets the run's own inputs, so a difference is reported only where it arises. Ratios of latencies may deviate by
    the share `tolerance`. No server and no cached result is used. A clone in which something differs is kept for inspection.
    The verdicts are written beside the run's record, and `on_verdict` is called with each. Raises `UserError` when the run
    completed no stage, the cache lacks its objects, or the run is from a remote and not `trusted`.
    """
    if not trusted:
        run_record.check_trust(run, "repeating it runs its code")
    folder, objects = root / ".bonsai" / "verify" / run.id, object_cache.objects_folder(root)
    shutil.rmtree(folder, ignore_errors=True)
    _clone(root, run, folder)
    verdicts: list[Verdict] = []
    with chdir(folder), object_cache.shared_lock(objects):
        entries, stages = read_lock_file(run.folder), load_stages(folder)
        completed = [name for name in stages if name in entries and run.record["stages"].get(name, {}).get("outs")]
        if not completed:
            raise UserError(f"no stage of {run.id} was completed, so there is nothing to verify")
        if missing := object_cache.missing_hashes(
            objects, object_cache.output_hashes({name: entries[name] for name in completed})
        ):
            raise UserError(
                f"the cache no longer has {len(missing)} of the objects of {run.id}; `bonsai pull {run.id}` may fetch them"
            )
        for name in completed:
            expected = {out["path"]: out["md5"] for out in entries[name]["outs"]}
            verdicts.append(_verify_stage(root, folder, stages[name], expected, tolerance))
            on_verdict(verdicts[-1])
            for out in entries[name]["outs"]:
                copy_from_cache(objects, out["md5"], folder / out["path"])
    write_json(
        run.folder / VERDICTS_FILE,
        {"at": run_record.now(), "tolerance": tolerance, "stages": [asdict(each) for each in verdicts]},
    )
    if all(each.state in VERIFIED for each in verdicts):
        shutil.rmtree(folder)
    return verdicts


def _clone(root: Path, run: Run, folder: Path) -> None:
    """Copy the run's dvc.yaml, code and parameters, but no dvc.lock and no artifact; link the local data that it names."""
    folder.mkdir(parents=True)
    for name in ("dvc.yaml", ".dvcignore", "params.yaml"):
        if (run.folder / name).exists():
            shutil.copy2(run.folder / name, folder / name)
    shutil.copytree(run.folder / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(dvc_config(root, folder), encoding="utf-8")
    for stanza in load_yaml(str(folder / "params.yaml"))["use_cases"].values():
        local_data = Path((stanza.get("fetch") or {}).get("path") or "")
        if local_data.parts and not local_data.is_absolute() and (root / local_data).exists():
            (folder / local_data).parent.mkdir(parents=True, exist_ok=True)
            (folder / local_data).symlink_to((root / local_data).resolve())


def _verify_stage(root: Path, folder: Path, stage: Stage, expected: Mapping[str, str], tolerance: float) -> Verdict:
    stop = threading.Event()
    with acquire_slots(root / ".bonsai" / "slots", stage.slots, stop):
        result = run_stage_process(stage.name, stage.command, folder, stop=stop, on_event=lambda event: None)
    if result.exit_code:
        return Verdict(stage.name, "failed", result.error)
    deviation = 0.0
    for path, md5 in expected.items():
        for name, new, recorded in _file_pairs(object_cache.objects_folder(root), folder / path, md5):
            artifact = f"{path}/{name}" if name else path
            if new is None or recorded is None:
                problem = "is missing" if new is None else "is a file that the run does not have"
                return Verdict(stage.name, "differs", f"{artifact} {problem}")
            if Path(name).name in TIMING_FILES:
                deviation = max(deviation, largest_deviation(_json(new), _json(recorded)))
            elif Path(name).name == CHECKSUMS:
                if _without_timing(_json(new)) != _without_timing(_json(recorded)):
                    return Verdict(stage.name, "differs", artifact)
            elif object_cache.md5_of(new) != object_cache.md5_of(recorded):
                sizes = f"{recorded.stat().st_size:,} then {new.stat().st_size:,} bytes"
                return Verdict(stage.name, "differs", f"{artifact}, {sizes}")
    if deviation > tolerance:
        return Verdict(stage.name, "differs", f"latencies deviate by {deviation:.0%}; {tolerance:.0%} is allowed")
    return (
        Verdict(stage.name, "within tolerance", f"latencies deviate by at most {deviation:.0%}")
        if deviation
        else Verdict(stage.name, "identical")
    )


def _file_pairs(objects: Path, output: Path, md5: str) -> Iterator[tuple[str, Path | None, Path | None]]:
    """(name, new file, recorded object) of each file of an output; checksums last, since they differ with any other file."""
    if not md5.endswith(".dir"):
        yield "", output if output.is_file() else None, object_cache.object_path(objects, md5)
        return
    recorded = object_cache.folder_files(objects, md5)
    new = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    for name in sorted({*recorded, *new}, key=lambda name: (Path(name).name == CHECKSUMS, name)):
        yield (
            name,
            output / name if name in new else None,
            object_cache.object_path(objects, recorded[name]) if name in recorded else None,
        )


def largest_deviation(new: Any, recorded: Any) -> float:
    """The largest relative deviation between two files of measured times.

    It is that of their ratios, which depend less on the machine, or else that of their times. Infinite if their keys differ.
    """
    new, recorded = flatten(new), flatten(recorded)
    if set(new) != set(recorded):
        return math.inf
    names = [name for name in new if name.endswith(".ratio")] or [name for name in new if TIME_NAME.search(name)]
    return max((abs(new[name] / recorded[name] - 1) if recorded[name] else math.inf for name in names), default=0.0)


def copy_from_cache(objects: Path, md5: str, target: Path) -> None:
    """Copy an output of the run to `target`; raises `UserError` if one of its objects is damaged."""
    files = object_cache.folder_files(objects, md5) if md5.endswith(".dir") else {"": md5}
    if target.is_dir():
        shutil.rmtree(target)
    for name, file_md5 in files.items():
        path = object_cache.object_path(objects, file_md5)
        if not object_cache.is_intact(path):
            (line,) = object_cache.set_aside(objects, [path])
            raise UserError(f"{line}; `bonsai run` with the run's parameters makes it again, or `bonsai pull` fetches it")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name if name else target)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _without_timing(checksums: Mapping[str, str]) -> dict[str, str]:
    return {name: checksum for name, checksum in checksums.items() if Path(name).name not in TIMING_FILES}
