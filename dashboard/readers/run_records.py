"""Runs as they are recorded: listed without reading them all, and read without believing them blindly."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from dashboard.readers import project_files
from dashboard.readers.project_files import STAGE, Unreadable
from dashboard.text import formatting
from flows.runs import run_record as records
from flows.runs import search
from flows.runs.search import RunAnnotation, RunFilter
from flows.system import os_processes

WORKSPACE = "workspace"
"""Stands for the project's own folder, where `dvc repro` writes."""
NAMED = re.compile(r"\d{8}-\d{6}-(?P<names>.+)-[0-9a-f]{4}")
"""A run's id as the conductor gives it: when, for which use cases, and four letters by chance."""
SEVERAL = re.compile(r"\d+-use-cases")
"""What stands in an id for use cases whose names together are too long."""

State = Literal["pending", "running", "completed", "failed", "cancelled", "crashed", "none"]
StageState = Literal[
    "waiting", "queued", "running", "retrying", "unchanged", "restored", "done", "failed", "crashed", "cancelled", "notrun"
]
LIVE: tuple[State, ...] = ("pending", "running")
SETTLED: tuple[StageState, ...] = ("unchanged", "restored", "done")
_STATES: dict[str, State] = {
    "Pending": "pending",
    "Scheduled": "pending",
    "Running": "running",
    "Cancelling": "running",
    "Completed": "completed",
    "Failed": "failed",
    "Cancelled": "cancelled",
    "Crashed": "crashed",
}
_STAGE_STATES: dict[str, StageState] = {
    "Pending": "waiting",
    "Queued": "queued",
    "Running": "running",
    "Retrying": "retrying",
    "AwaitingRetry": "retrying",
    "Unchanged": "unchanged",
    "Restored": "restored",
    "Completed": "done",
    "Failed": "failed",
    "Crashed": "crashed",
    "Cancelled": "cancelled",
    "NotRun": "notrun",
}


def _or(default: Any) -> BeforeValidator:
    """Null, as some writers say "nothing", read as the default."""
    return BeforeValidator(lambda found: default if found is None else found)


Words = Annotated[str, _or("")]
Mapped = Annotated[dict[str, Any], _or({})]


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class StageEntry(_Recorded):
    """What run.json says of one stage."""

    state: Words = "Pending"
    needs: Annotated[list[str], _or([])] = []
    started_at: Words = ""
    ended_at: Words = ""
    attempt: Annotated[int, _or(0)] = 0
    reasons: Annotated[list[Any], _or([])] = []
    error: Words = ""
    details: Words = ""
    outs: Mapped = {}
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None


class Record(_Recorded):
    """run.json: what is in it, with what older or cut-short ones may lack."""

    state: Words = ""
    error: Words = ""
    use_cases: Annotated[list[str], _or([])] = []
    recipes: Annotated[list[str], _or([])] = []
    overrides: Mapped = {}
    whole: bool = False
    asked: Mapped = {}
    created_at: Words = ""
    started_at: Words = ""
    ended_at: Words = ""
    process: dict[str, Any] | None = None
    prefect: Mapped = {}
    code: Mapped = {}
    machine: Mapped = {}
    stages: Annotated[dict[str, StageEntry], _or({})] = {}
    results: Mapped = {}


@dataclass(frozen=True, slots=True)
class Run:
    """One run, or the project's own workspace."""

    id: str
    root: Path
    folder: Path
    record: Record
    state: State

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def at(self) -> str:
        """When it began, or was asked for."""
        return self.record.started_at or self.record.created_at

    @property
    def wall_s(self) -> float | None:
        return formatting.seconds_between(self.record.started_at, self.record.ended_at)

    def stages(self, use_case: str = "") -> dict[str, StageEntry]:
        """Its stages by name in playing order, those of one use case if one is named."""
        return {name: entry for name, entry in self.record.stages.items() if not use_case or parts(name)[1] == use_case}


@dataclass(slots=True)
class Page:
    """Some of the runs there are, newest first."""

    runs: list[Run] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    next: int | None = None
    """Where to go on among the names, None when there are no more."""
    total: int = 0


def names(root: Path) -> list[str]:
    """The ids of all runs, newest first, without opening any."""
    try:
        with os.scandir(root / "runs") as entries:
            found = [
                entry.name
                for entry in entries
                if project_files.SLUG.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    return sorted(found, reverse=True)


def load(root: Path, run_id: str) -> Run:
    """The run of that id, or the project's own workspace; raises `Unreadable`."""
    if run_id == WORKSPACE:
        return Run(WORKSPACE, root, root, Record(), "none")
    folder = root / "runs" / project_files.slug(run_id)
    if not folder.is_dir():
        raise Unreadable("unreadable.run", name=run_id)
    try:
        record = _understood(project_files.inside(root, folder / records.RECORD_FILE), *_version(folder / records.RECORD_FILE))
    except FileNotFoundError:
        raise Unreadable("unreadable.missing", file=records.RECORD_FILE) from None
    except (ValueError, RecursionError):
        raise Unreadable("unreadable.damaged", file=records.RECORD_FILE) from None
    return Run(run_id, root, folder, record, _state(record))


def listing(root: Path, wanted: RunFilter | None = None, *, start: int = 0, count: int = 50, most_read: int = 1000) -> Page:
    """`count` runs that match, from position `start` among the names on; reads no more records than it must,
    and `most_read` at the most.
    """
    wanted = wanted or RunFilter()
    every = names(root)
    page = Page(total=len(every))
    read = 0
    for position in range(start, len(every)):
        if wanted.use_case and not may_be_of(every[position], wanted.use_case):
            continue
        if len(page.runs) >= count or read >= most_read:
            page.next = position
            break
        read += 1
        try:
            run = load(root, every[position])
        except Unreadable:
            page.unreadable.append(every[position])
            continue
        if _matches(run, wanted):
            page.runs.append(run)
    return page


def of_flow(root: Path, flow_run_id: str, among: int = 50) -> Run | None:
    """The run that a Prefect flow run made, looked for among the newest."""
    for run_id in names(root)[:among]:
        try:
            run = load(root, run_id)
        except Unreadable:
            continue
        if run.record.prefect.get("flow_run_id") == flow_run_id:
            return run
    return None


def latest(root: Path, use_case: str = "", count: int = 30) -> list[Run]:
    """The newest runs, of one use case if one is named; none only if there is none, however far back it lies."""
    start: int | None = 0
    while start is not None:
        page = listing(root, RunFilter(use_case=use_case), start=start, count=count, most_read=300)
        if page.runs:
            return page.runs
        start = page.next
    return []


def may_be_of(run_id: str, use_case: str) -> bool:
    """Whether a run's id leaves it open that the use case was among its own; most ids tell without opening the record."""
    found = NAMED.fullmatch(run_id)
    if not found or SEVERAL.fullmatch(found["names"]):
        return True
    return f"-{use_case.replace('_', '-').lower()}-" in f"-{found['names']}-"


def parts(stage: str) -> tuple[str, str, str]:
    """Verb, use case and recipe of a stage's name: `compress@vision-int8`. A use case's name holds no dash."""
    verb, _, rest = stage.partition("@")
    use_case, _, recipe = rest.partition("-")
    return verb, use_case, recipe


def stage_state(entry: StageEntry) -> StageState:
    """How a stage stands, in the dashboard's words."""
    state = _STAGE_STATES.get(entry.state, "waiting")
    return "retrying" if state == "running" and entry.attempt > 1 else state


def note(run: Run) -> RunAnnotation:
    """The run's annotation; empty if there is none that can be read."""
    try:
        return search.parse_annotation(project_files.read_object(run.root, run.folder / search.ANNOTATION_FILE))
    except Unreadable:
        return RunAnnotation()


def keep(run: Run, kept: RunAnnotation) -> None:
    """Write the annotation beside the record; the project's own workspace has none."""
    if run.id != WORKSPACE:
        search.write_annotation(run.folder, kept)


def metric(run: Run, use_case: str) -> dict[str, Any]:
    """The released model's row of the use case's table in the record, or the dense one's where nothing was released."""
    found = run.record.results.get(use_case)
    rows = found.get("table") if isinstance(found, dict) else None
    if isinstance(rows, dict):
        rows = rows.get("rows")
    verdict = found.get("verdict") if isinstance(found, dict) else None
    chosen = verdict.get("released") or verdict.get("chosen") if isinstance(verdict, dict) else None
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return next((row for row in rows if row.get("recipe") == (chosen or "dense")), {})


def _matches(run: Run, wanted: RunFilter) -> bool:
    record, who = run.record, str(run.record.asked.get("who", ""))
    return wanted.matches(
        run_id=run.id,
        use_cases=record.use_cases,
        who=who,
        state=run.state,
        text=lambda: search.searched_text(run.id, note(run), record.overrides, who, record.error),
        annotation=lambda: note(run),
    )


def _version(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@lru_cache(maxsize=12_000)
def _understood(path: Path, mtime_ns: int, size: int, inode: int) -> Record:
    if size > project_files.MAX_JSON_BYTES:
        raise ValueError("too large")
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict) and isinstance(found.get("stages"), dict):
        found["stages"] = {name: entry for name, entry in found["stages"].items() if STAGE.fullmatch(name)}
    try:
        return Record.model_validate(found)
    except ValidationError as error:
        raise ValueError(str(error)) from None


def _state(record: Record) -> State:
    """Its state; crashed when it says it is under way but its process is gone."""
    state = _STATES.get(record.state, "crashed")
    return "crashed" if state in LIVE and not _alive(record.process) else state


def _alive(process: dict[str, Any] | None) -> bool:
    try:
        return os_processes.is_alive(process)
    except (KeyError, TypeError, ValueError):
        return False
