"""Play a run again in a clean clone, with nothing remembered, and say of each stage whether it made the same."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dvc.utils.serialize import load_yaml

from flows.dvc_state import object_cache
from flows.dvc_state.stage_graph import Stage, load_stages
from flows.dvc_state.stage_state import read_lock_file, working_directory
from flows.execution.stage_process import play
from flows.maintenance.compare import flat
from flows.runs import run_record
from flows.runs.run_record import Run
from flows.runs.workspace import dvc_config
from flows.system.file_locks import acquire_slots
from tasks.core.artifacts import CHECKSUMS
from tasks.core.atomic_files import write_json
from tasks.core.errors import UserError

CLOCKED = ("latency.json", "timing.json")
"""Files of what a clock measured: the only ones that may differ, by so much as is stated."""
TOLERANCE = 1.0
"""A factor of two: small networks answer in 0.06 ms in one process and in 0.09 in the next, on one quiet machine."""
VERDICTS = "verified.json"
TIMES = re.compile(r"(^|\.)(median_ms|wall_s)$")


GOOD = ("identical", "within tolerance")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one stage, played again on the inputs that the run had."""

    stage: str
    state: Literal["identical", "within tolerance", "differs", "failed"]
    text: str = ""
    """The first artifact that differs and how, or how far the clock was off."""


def verify(
    root: Path, run: Run, *, tolerance: float = TOLERANCE, heard: Callable[[Verdict], None] = lambda found: None
) -> list[Verdict]:
    """Every stage that the run had done, in playing order, in a new folder with the run's code and parameters.

    Each is given the run's own inputs, so that a difference is named where it arises and nowhere else. Ratios of latencies
    may be off by the share `tolerance`. No server is asked, and nothing that was computed before is used. A clone in which
    something differs stays to be looked at; the verdicts are kept beside the run's record.
    """
    folder, objects = root / ".bonsai" / "verify" / run.id, object_cache.objects_folder(root)
    shutil.rmtree(folder, ignore_errors=True)
    _clone(root, run, folder)
    found: list[Verdict] = []
    with working_directory(folder), object_cache.shared_lock(objects):
        entries, stages = read_lock_file(run.folder), load_stages(folder)
        done = [name for name in stages if name in entries and run.record["stages"].get(name, {}).get("outs")]
        if not done:
            raise UserError(f"no stage of {run.id} was done, so there is nothing to verify")
        if lost := object_cache.missing_hashes(objects, object_cache.output_hashes({name: entries[name] for name in done})):
            raise UserError(
                f"the cache has no longer {len(lost)} of the objects of {run.id}; `bonsai pull {run.id}` may bring them"
            )
        for name in done:
            found.append(
                _judged(root, folder, stages[name], {out["path"]: out["md5"] for out in entries[name]["outs"]}, tolerance)
            )
            heard(found[-1])
            for out in entries[name]["outs"]:
                put(objects, out["md5"], folder / out["path"])
    write_json(
        run.folder / VERDICTS, {"at": run_record.now(), "tolerance": tolerance, "stages": [asdict(each) for each in found]}
    )
    if all(each.state in GOOD for each in found):
        shutil.rmtree(folder)
    return found


def _clone(root: Path, run: Run, folder: Path) -> None:
    """The run's score, code and parameters; no dvc.lock, no artifact. Data of one's own that it names are linked."""
    folder.mkdir(parents=True)
    for name in ("dvc.yaml", ".dvcignore", "params.yaml"):
        if (run.folder / name).exists():
            shutil.copy2(run.folder / name, folder / name)
    shutil.copytree(run.folder / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(dvc_config(root, folder), encoding="utf-8")
    for stanza in load_yaml(str(folder / "params.yaml"))["use_cases"].values():
        own = Path((stanza.get("fetch") or {}).get("path") or "")
        if own.parts and not own.is_absolute() and (root / own).exists():
            (folder / own).parent.mkdir(parents=True, exist_ok=True)
            (folder / own).symlink_to((root / own).resolve())


def _judged(root: Path, folder: Path, stage: Stage, expected: Mapping[str, str], tolerance: float) -> Verdict:
    stop = threading.Event()
    with acquire_slots(root / ".bonsai" / "slots", stage.slots, stop):
        outcome = play(stage.name, stage.command, folder, stop=stop, heard=lambda event: None)
    if outcome.code:
        return Verdict(stage.name, "failed", outcome.error)
    off = 0.0
    for path, md5 in expected.items():
        for name, ours, theirs in _pairs(object_cache.objects_folder(root), folder / path, md5):
            where = f"{path}/{name}" if name else path
            if ours is None or theirs is None:
                return Verdict(stage.name, "differs", f"{where} {'is missing' if ours is None else 'is one more than there was'}")
            if Path(name).name in CLOCKED:
                off = max(off, apart(_json(ours), _json(theirs)))
            elif Path(name).name == CHECKSUMS:
                if _but_clocked(_json(ours)) != _but_clocked(_json(theirs)):
                    return Verdict(stage.name, "differs", where)
            elif object_cache.md5_of(ours) != object_cache.md5_of(theirs):
                return Verdict(stage.name, "differs", f"{where}, {theirs.stat().st_size:,} then {ours.stat().st_size:,} bytes")
    if off > tolerance:
        return Verdict(stage.name, "differs", f"latencies are off by {off:.0%}; {tolerance:.0%} is allowed")
    return (
        Verdict(stage.name, "within tolerance", f"latencies are off by at most {off:.0%}")
        if off
        else Verdict(stage.name, "identical")
    )


def _pairs(objects: Path, made: Path, md5: str) -> Iterator[tuple[str, Path | None, Path | None]]:
    """Each file of an output by name: as it was made now, and the object it was; checksums last, for they differ with any."""
    if not md5.endswith(".dir"):
        yield "", made if made.is_file() else None, object_cache.object_path(objects, md5)
        return
    then = object_cache.folder_files(objects, md5)
    now = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    for name in sorted({*then, *now}, key=lambda name: (Path(name).name == CHECKSUMS, name)):
        yield name, made / name if name in now else None, object_cache.object_path(objects, then[name]) if name in then else None


def apart(ours: Any, theirs: Any) -> float:
    """The largest share by which one is off from the other: in its ratios, which two machines may share, or else in its times.

    Infinite where they are not built alike.
    """
    one, other = flat(ours), flat(theirs)
    if set(one) != set(other):
        return math.inf
    names = [name for name in one if name.endswith(".ratio")] or [name for name in one if TIMES.search(name)]
    return max((abs(one[name] / other[name] - 1) if other[name] else math.inf for name in names), default=0.0)


def put(objects: Path, md5: str, target: Path) -> None:
    """Lay an output down as the run had it, after each of its objects was found whole."""
    listed = object_cache.folder_files(objects, md5) if md5.endswith(".dir") else {"": md5}
    if target.is_dir():
        shutil.rmtree(target)
    for name, each in listed.items():
        path = object_cache.object_path(objects, each)
        if not object_cache.is_intact(path):
            raise UserError(f"{path} is damaged; delete it, and `bonsai run` makes it again")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name if name else target)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _but_clocked(checksums: Mapping[str, str]) -> dict[str, str]:
    return {name: found for name, found in checksums.items() if Path(name).name not in CLOCKED}
