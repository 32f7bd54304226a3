"""Current status of a run: stages, progress, training curves and timeline, from its record and its event logs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.readers import project_files
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import event_logs, run_records
from dashboard.readers.runs.event_logs import StageEvents
from dashboard.readers.runs.run_records import SUCCEEDED, Run, StageEntry, StageState
from dashboard.text import formatting

WORKING: tuple[StageState, ...] = ("running", "retrying")
BROKEN: tuple[StageState, ...] = ("failed", "crashed")
LONG_KINDS = ("learning rate", "log loss")
"""Kinds of curves whose name has two words."""
Curves = dict[str, list[tuple[int, float]]]
"""Points (step, value) by curve name."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Current status of one stage of a run."""

    name: str
    state: StageState
    entry: StageEntry
    events: StageEvents
    seconds: float | None
    """Running time so far, or of the last execution."""

    @property
    def verb(self) -> str:
        return run_records.stage_parts(self.name)[0]

    @property
    def recipe(self) -> str:
        return run_records.stage_parts(self.name)[2]

    @property
    def share(self) -> float | None:
        """Share of the work done while it runs; None if it reports no progress."""
        return self.events.share if self.state in WORKING else None

    @property
    def error(self) -> str:
        """The error in one line."""
        return formatting.clean(self.entry.error or (self.events.error if self.state in BROKEN else ""), 2000)

    @property
    def details(self) -> str:
        return self.entry.details or (self.events.details if self.state in BROKEN else "")


@dataclass(frozen=True, slots=True)
class Span:
    """An execution of a stage, in seconds since the start of the run."""

    stage: str
    state: StageState
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run in stages, and in time where earlier durations are recorded."""

    done: int
    total: int
    share: float
    seconds_left: float | None
    """None if a remaining stage has no recorded duration."""


def stages(run: Run, use_case: str = "", *, now: datetime | None = None) -> dict[str, Stage]:
    """The stages of a run, or of the project folder, in execution order."""
    now = now or datetime.now(UTC)
    entries = _project_folder_entries(run, use_case) if run.id == run_records.WORKSPACE else run.stages(use_case)
    stages_by_name = {}
    for name, entry in entries.items():
        events = event_logs.read(run.root, run.folder, name)
        state = run_records.stage_state(entry)
        if state in (*WORKING, "queued") and not run.live and run.id != run_records.WORKSPACE:
            state = "crashed"
        if state == "waiting" and not run.live and run.id != run_records.WORKSPACE:
            state = "notrun"
        stages_by_name[name] = Stage(name, state, entry, events, _duration(state, entry, events, now))
    return stages_by_name


def progress(stages: Mapping[str, Stage], took: Mapping[str, float]) -> Progress:
    """Progress of a run; `took` holds each stage's last duration in seconds, and a stage without one counts as their mean."""
    done = sum(stage.state in SUCCEEDED for stage in stages.values())
    timed = [took[name] for name in stages if name in took]
    typical = sum(timed) / len(timed) if timed else 1.0
    weights = {name: max(took.get(name, typical), 0.1) for name in stages}
    whole = sum(weights.values()) or 1.0
    reached = sum(weights[name] * _share_done(stage) for name, stage in stages.items())
    ended = (*SUCCEEDED, "failed", "crashed", "cancelled", "notrun")
    ahead = [name for name, stage in stages.items() if stage.state not in ended]
    all_timed = all(name in took for name in ahead)
    left = sum(weights[name] * (1 - _share_done(stages[name])) for name in ahead)
    return Progress(done, len(stages), min(reached / whole, 1.0), left if all_timed and ahead else None)


def durations(recorded: Iterable[Run]) -> dict[str, float]:
    """Duration in seconds of each stage's last execution, from the newest run that recorded it."""
    seconds: dict[str, float] = {}
    for run in recorded:
        for name, entry in run.record.stages.items():
            if entry.state == "Completed" and entry.wall_s is not None:
                seconds.setdefault(name, entry.wall_s)
    return seconds


def effort(run: Run) -> dict[str, Any]:
    """The overrides of a run that decide how long it takes: all but seeds and the terms of the contract."""
    return {
        name: value for name, value in run.record.overrides.items() if not name.endswith(".seed") and ".contract." not in name
    }


def default_stage(stages: Mapping[str, Stage]) -> str:
    """The stage to show by default: a failed one, a running one, a cancelled one, or the last one that completed."""
    for states in (BROKEN, WORKING, ("cancelled",)):
        for name, stage in stages.items():
            if stage.state in states:
                return name
    ended = [name for name, stage in stages.items() if stage.state == "done" and stage.entry.ended_at]
    last = max(ended, key=lambda name: stages[name].entry.ended_at, default="")
    return last or next(iter(stages), "")


def curves(stages: Mapping[str, Stage]) -> dict[str, Curves]:
    """Training curves by stage and name, of the stages that have any."""
    return {name: stage.events.curves for name, stage in stages.items() if stage.events.curves}


def reused_curves(run: Run, use_case: str, stages: Mapping[str, Stage]) -> dict[str, Curves]:
    """The curves of a model that an earlier run has trained, under the train stage that this run reused."""
    fitted = next(
        (name for name, stage in stages.items() if stage.verb == "train" and stage.state in ("unchanged", "restored")), ""
    )
    curves_by_name: Curves = {}
    for name, epoch, value in stored_curves(run, use_case) if fitted else ():
        curves_by_name.setdefault(name, []).append((epoch, value))
    return {fitted: curves_by_name} if curves_by_name else {}


def stored_curves(run: Run, use_case: str) -> list[tuple[str, int, float]]:
    """The curves stored in the model artifact, as (name, epoch, value); also there when an earlier run trained the model."""
    artifacts = Artifacts(run.root, run.folder, use_case)
    try:
        epochs = project_files.read_json(run.root, artifacts.use_case_folder / "model" / "curves.json")
    except Unreadable:
        return []
    if not isinstance(epochs, list):
        return []
    return [
        (str(name), epoch["epoch"], float(value))
        for epoch in epochs
        if isinstance(epoch, dict) and isinstance(epoch.get("epoch"), int)
        for name, value in epoch.items()
        if name != "epoch" and isinstance(value, int | float)
    ]


def curves_by_kind(curves: Mapping[str, object]) -> dict[str, list[str]]:
    """Curve names by kind, the end of the name; curves of one kind share an axis."""
    names_by_kind: dict[str, list[str]] = {}
    for name in curves:
        kind = next((words for words in LONG_KINDS if name.endswith(words.replace(" ", "_"))), name.rpartition("_")[2])
        names_by_kind.setdefault(kind, []).append(name)
    names = list(names_by_kind)
    order = sorted(names, key=lambda kind: (kind != "loss", kind == "learning rate", names.index(kind)))
    return {kind: names_by_kind[kind] for kind in order}


def spans(run: Run, stages: Mapping[str, Stage], *, now: datetime | None = None) -> list[Span]:
    """Executions of each stage, one per attempt; an unchanged stage has none."""
    began = formatting.parse_time(run.at)
    intervals: list[tuple[str, StageState, datetime, datetime]] = []
    for name, stage in stages.items():
        if stage.state in ("unchanged", "restored", "waiting", "queued", "notrun"):
            continue
        for position, attempt in enumerate(stage.events.attempts):
            last = position == len(stage.events.attempts) - 1
            start = formatting.parse_time(attempt.started_at)
            end = formatting.parse_time(attempt.ended_at or (stage.entry.ended_at if last else "")) or (now or datetime.now(UTC))
            state = stage.state if last else "failed"
            if start and end >= start:
                intervals.append((name, state, start, end))
    zero = began or min((start for _, _, start, _ in intervals), default=datetime.now(UTC))
    return [
        Span(name, state, (start - zero).total_seconds(), (end - zero).total_seconds()) for name, state, start, end in intervals
    ]


def output_tail(run: Run, stage: str, most_bytes: int = 20_000) -> str:
    """The end of a stage's terminal output; empty if none is stored."""
    if not project_files.STAGE.fullmatch(stage):
        return ""
    path = project_files.inside(run.root, run.folder / "journal" / f"{stage}.out")
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most_bytes))
            return file.read(most_bytes).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _share_done(stage: Stage) -> float:
    return 1.0 if stage.state in SUCCEEDED else stage.share or 0.0


def _duration(state: StageState, entry: StageEntry, events: StageEvents, now: datetime) -> float | None:
    if state in WORKING:
        began = formatting.parse_time(entry.started_at or (events.attempts[-1].started_at if events.attempts else ""))
        return max(0.0, (now - began).total_seconds()) if began else None
    if entry.wall_s is not None:
        return entry.wall_s
    if state in ("failed", "crashed", "cancelled") and entry.started_at:
        return formatting.seconds_between(entry.started_at, entry.ended_at)
    return events.wall_s


def _project_folder_entries(run: Run, use_case: str) -> dict[str, StageEntry]:
    """The stages of dvc.yaml with their state by the event logs of the project folder."""
    entries = {}
    for name, needs in pipeline_stages(run.root).items():
        if use_case and run_records.stage_parts(name)[1] != use_case:
            continue
        events = event_logs.read(run.root, run.folder, name)
        last = events.attempts[-1] if events.attempts else None
        state = "Pending"
        if last:
            working = "Running" if _process_exists(events.pid) else "Crashed"
            state = {"finished": "Completed", "failed": "Failed"}.get(last.outcome, working)
        times: dict[str, Any] = {"started_at": last.started_at, "ended_at": last.ended_at, "attempt": 1} if last else {}
        entries[name] = StageEntry(
            state=state, needs=needs, wall_s=events.wall_s, cpu_s=events.cpu_s, error=events.error, **times
        )
    return entries


_PIPELINES: dict[tuple[Path, int, int], dict[str, list[str]]] = {}


def pipeline_stages(root: Path) -> dict[str, list[str]]:
    """The stages of dvc.yaml in execution order, each with those it depends on; empty if it cannot be read."""
    try:
        key = (root, (root / "dvc.yaml").stat().st_mtime_ns, (root / "params.yaml").stat().st_mtime_ns)
    except OSError:
        return {}
    if key not in _PIPELINES:
        from dvc.exceptions import DvcException

        from flows.dvc_state.stage_graph import load_stages

        try:
            _PIPELINES[key] = {name: list(stage.needs) for name, stage in load_stages(root).items()}
        except DvcException:
            return {}
    return _PIPELINES[key]


def planned_stages(root: Path, use_case: str) -> dict[str, list[str]]:
    """The stages that a run of the use case would have, each with those it depends on.

    Those of a use case that params.yaml does not list are named after another's: dvc.yaml has the same stages for all.
    """
    stages_by_name = pipeline_stages(root)
    listed = list(dict.fromkeys(run_records.stage_parts(name)[1] for name in stages_by_name))
    if not listed:
        return {}
    pattern = use_case if use_case in listed else listed[0]
    own = {name: needs for name, needs in stages_by_name.items() if run_records.stage_parts(name)[1] == pattern}
    return {_renamed(name, use_case): [_renamed(need, use_case) for need in needs] for name, needs in own.items()}


def _renamed(stage: str, use_case: str) -> str:
    """The stage of that name of another use case: `clean@vision` becomes `clean@credit`."""
    verb, _, rest = stage.partition("@")
    _, dash, recipe = rest.partition("-")
    return f"{verb}@{use_case}{dash}{recipe}"


def _process_exists(pid: int) -> bool:
    """Whether a process with that id exists; its identity is not checked."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
