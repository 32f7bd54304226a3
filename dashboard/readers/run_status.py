"""How a run stands now, in words and shares: its record and its stages' journals told as one story."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.readers import event_logs, project_files, run_records
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.event_logs import StageEvents
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_records import SETTLED, Run, StageEntry, StageState
from dashboard.text import formatting

WORKING: tuple[StageState, ...] = ("running", "retrying")
BROKEN: tuple[StageState, ...] = ("failed", "crashed")
LONG_KINDS = ("learning rate", "log loss")
"""What curves measure, where one word does not say it."""
Curves = dict[str, list[tuple[int, float]]]
"""Points (step, value) by the name of what was measured."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run at this moment."""

    name: str
    state: StageState
    entry: StageEntry
    diary: StageEvents
    seconds: float | None
    """How long it has worked, or worked when it last did."""

    @property
    def verb(self) -> str:
        return run_records.parts(self.name)[0]

    @property
    def recipe(self) -> str:
        return run_records.parts(self.name)[2]

    @property
    def share(self) -> float | None:
        """How much of its work is done, where it works and says so."""
        return self.diary.share if self.state in WORKING else None

    @property
    def error(self) -> str:
        """Why it failed, in one line."""
        return formatting.clean(self.entry.error or (self.diary.error if self.state in BROKEN else ""), 2000)

    @property
    def details(self) -> str:
        return self.entry.details or (self.diary.details if self.state in BROKEN else "")


@dataclass(frozen=True, slots=True)
class Span:
    """A stage at work, in seconds since the run began."""

    stage: str
    state: StageState
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, counted in stages and, where earlier times are known, in time."""

    done: int
    total: int
    share: float
    seconds_left: float | None
    """None where a stage that is still to come was never timed."""


def stages(run: Run, use_case: str = "", *, now: datetime | None = None) -> dict[str, Stage]:
    """The stages of a run, or of the project's own folder, in playing order."""
    now = now or datetime.now(UTC)
    entries = _in_the_folder(run, use_case) if run.id == run_records.WORKSPACE else run.stages(use_case)
    found = {}
    for name, entry in entries.items():
        diary = event_logs.read(run.root, run.folder, name)
        state = run_records.stage_state(entry)
        if state in (*WORKING, "queued") and not run.live and run.id != run_records.WORKSPACE:
            state = "crashed"
        found[name] = Stage(name, state, entry, diary, _seconds(state, entry, diary, now))
    return found


def progress(stages: Mapping[str, Stage], took: Mapping[str, float]) -> Progress:
    """How far it is; `took` says how many seconds each stage took the last time, and one without a time counts as their mean."""
    done = sum(stage.state in SETTLED for stage in stages.values())
    timed = [took[name] for name in stages if name in took]
    typical = sum(timed) / len(timed) if timed else 1.0
    weights = {name: max(took.get(name, typical), 0.1) for name in stages}
    whole = sum(weights.values()) or 1.0
    reached = sum(weights[name] * _reached(stage) for name, stage in stages.items())
    ahead = [name for name, stage in stages.items() if stage.state not in (*SETTLED, "failed", "crashed", "cancelled", "notrun")]
    known = all(name in took for name in ahead)
    left = sum(weights[name] * (1 - _reached(stages[name])) for name in ahead)
    return Progress(done, len(stages), min(reached / whole, 1.0), left if known and ahead else None)


def times(recorded: Iterable[Run]) -> dict[str, float]:
    """Seconds each stage took when it last did its work, by the newest run that tells."""
    found: dict[str, float] = {}
    for run in recorded:
        for name, entry in run.record.stages.items():
            if entry.state == "Completed" and entry.wall_s is not None:
                found.setdefault(name, entry.wall_s)
    return found


def notable(stages: Mapping[str, Stage]) -> str:
    """The stage to look at when nobody picked one: what failed, what works, what was stopped, or what ended last."""
    for states in (BROKEN, WORKING, ("cancelled",)):
        for name, stage in stages.items():
            if stage.state in states:
                return name
    ended = [name for name, stage in stages.items() if stage.state == "done" and stage.entry.ended_at]
    last = max(ended, key=lambda name: stages[name].entry.ended_at, default="")
    return last or next(iter(stages), "")


def curves(stages: Mapping[str, Stage]) -> dict[str, Curves]:
    """The curves each stage drew, by stage and name; only of stages that drew any."""
    return {name: stage.diary.curves for name, stage in stages.items() if stage.diary.curves}


def known_curves(run: Run, use_case: str, stages: Mapping[str, Stage]) -> dict[str, Curves]:
    """The curves of a model that this run did not have to fit, since an earlier one had; under the stage that fits it."""
    fitted = next(
        (name for name, stage in stages.items() if stage.verb == "train" and stage.state in ("unchanged", "restored")), ""
    )
    found: Curves = {}
    for name, epoch, value in kept_curves(run, use_case) if fitted else ():
        found.setdefault(name, []).append((epoch, value))
    return {fitted: found} if found else {}


def kept_curves(run: Run, use_case: str) -> list[tuple[str, int, float]]:
    """The curves the model itself keeps, as (name, epoch, value): those of a run whose model an earlier one fitted, too."""
    found = Artifacts(run.root, run.folder, use_case)
    try:
        epochs = project_files.read_json(run.root, found.place / "model" / "curves.json")
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


def kinds(curves: Mapping[str, object]) -> dict[str, list[str]]:
    """The names of curves by what may share an axis, which the end of the name says."""
    found: dict[str, list[str]] = {}
    for name in curves:
        kind = next((words for words in LONG_KINDS if name.endswith(words.replace(" ", "_"))), name.rpartition("_")[2])
        found.setdefault(kind, []).append(name)
    names = list(found)
    return dict(sorted(found.items(), key=lambda item: (item[0] != "loss", item[0] == "learning rate", names.index(item[0]))))


def spans(run: Run, stages: Mapping[str, Stage], *, now: datetime | None = None) -> list[Span]:
    """When each stage worked, attempt by attempt; a stage that was found unchanged did not work."""
    began = formatting.moment(run.at)
    found: list[tuple[str, StageState, datetime, datetime]] = []
    for name, stage in stages.items():
        if stage.state in ("unchanged", "restored", "waiting", "queued", "notrun"):
            continue
        for position, attempt in enumerate(stage.diary.attempts):
            last = position == len(stage.diary.attempts) - 1
            start = formatting.moment(attempt.started_at)
            end = formatting.moment(attempt.ended_at or (stage.entry.ended_at if last else "")) or (now or datetime.now(UTC))
            state = stage.state if last else "failed"
            if start and end >= start:
                found.append((name, state, start, end))
    zero = began or min((start for _, _, start, _ in found), default=datetime.now(UTC))
    return [Span(name, state, (start - zero).total_seconds(), (end - zero).total_seconds()) for name, state, start, end in found]


def output_tail(run: Run, stage: str, most_bytes: int = 20_000) -> str:
    """The end of what a stage's process printed; empty if nothing was kept."""
    if not project_files.STAGE.fullmatch(stage):
        return ""
    path = project_files.inside(run.root, run.folder / "journal" / f"{stage}.out")
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most_bytes))
            return file.read(most_bytes).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _reached(stage: Stage) -> float:
    return 1.0 if stage.state in SETTLED else stage.share or 0.0


def _seconds(state: StageState, entry: StageEntry, diary: StageEvents, now: datetime) -> float | None:
    if state in WORKING:
        began = formatting.moment(entry.started_at or (diary.attempts[-1].started_at if diary.attempts else ""))
        return max(0.0, (now - began).total_seconds()) if began else None
    if entry.wall_s is not None:
        return entry.wall_s
    if state in ("failed", "crashed", "cancelled") and entry.started_at:
        return formatting.seconds_between(entry.started_at, entry.ended_at)
    return diary.wall_s


def _in_the_folder(run: Run, use_case: str) -> dict[str, StageEntry]:
    """What the journals in the project's own folder say of the stages of dvc.yaml."""
    found = {}
    for name, needs in planned(run.root).items():
        if use_case and run_records.parts(name)[1] != use_case:
            continue
        diary = event_logs.read(run.root, run.folder, name)
        last = diary.attempts[-1] if diary.attempts else None
        state = "Pending"
        if last:
            working = "Running" if _works(diary.pid) else "Crashed"
            state = {"finished": "Completed", "failed": "Failed"}.get(last.outcome, working)
        told: dict[str, Any] = {"started_at": last.started_at, "ended_at": last.ended_at, "attempt": 1} if last else {}
        found[name] = StageEntry(state=state, needs=needs, wall_s=diary.wall_s, cpu_s=diary.cpu_s, error=diary.error, **told)
    return found


_SCORES: dict[tuple[Path, int, int], dict[str, list[str]]] = {}


def planned(root: Path) -> dict[str, list[str]]:
    """The stages of dvc.yaml in playing order, each with those it needs; nothing where it cannot be read."""
    try:
        key = (root, (root / "dvc.yaml").stat().st_mtime_ns, (root / "params.yaml").stat().st_mtime_ns)
    except OSError:
        return {}
    if key not in _SCORES:
        from dvc.exceptions import DvcException

        from flows.dvc_state.stage_graph import load_stages

        try:
            _SCORES[key] = {name: list(stage.needs) for name, stage in load_stages(root).items()}
        except DvcException:
            return {}
    return _SCORES[key]


def _works(pid: int) -> bool:
    """Whether a process of that number lives; nobody else's business here, so its identity is not asked for."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
