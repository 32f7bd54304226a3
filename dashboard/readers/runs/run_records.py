"""Recorded runs: list them without reading every record, and validate each record that is read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from dashboard.readers import project_files
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import sample_run
from dashboard.readers.runs.sample_run import SAMPLE
from dashboard.text import formatting
from flows.runs import record_file, record_schema, search
from flows.runs.record_schema import Record, StageEntry
from flows.runs.search import RunAnnotation, RunFilter
from flows.system import os_processes
from tasks.core.stage_context import SEED_SUFFIX

__all__ = ["Record", "StageEntry"]

WORKSPACE = "workspace"
"""Id that stands for the project folder, where `dvc repro` writes."""
RUN_ID = re.compile(r"\d{8}-\d{6}-(?P<names>.+)-[0-9a-f]{4}")
"""A run id: time, use cases, and four random hexadecimal digits."""
MANY_USE_CASES = re.compile(r"\d+-use-cases")
"""Replaces the use cases in an id where their names are too long."""

State = Literal["pending", "running", "completed", "failed", "cancelled", "crashed", "none"]
StageState = Literal[
    "waiting", "queued", "running", "retrying", "unchanged", "restored", "done", "failed", "crashed", "cancelled", "notrun"
]
LIVE: tuple[State, ...] = ("pending", "running")
SUCCEEDED: tuple[StageState, ...] = ("unchanged", "restored", "done")
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


@dataclass(frozen=True, slots=True)
class Run:
    """One run, or the project folder."""

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
        """Start time, or the time of the request."""
        return self.record.started_at or self.record.created_at

    @property
    def wall_s(self) -> float | None:
        return formatting.seconds_between(self.record.started_at, self.record.ended_at)

    def stages(self, use_case: str = "") -> dict[str, StageEntry]:
        """Stages by name in execution order, of one use case if it is named."""
        return {name: entry for name, entry in self.record.stages.items() if not use_case or stage_parts(name)[1] == use_case}


@dataclass(slots=True)
class Page:
    """A page of runs, newest first."""

    runs: list[Run] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    next: int | None = None
    """Position of the next page among the ids; None at the end."""
    total: int = 0


def run_ids(root: Path) -> list[str]:
    """The ids of all runs, newest first, without reading their records."""
    try:
        with os.scandir(root / "runs") as entries:
            ids = [
                entry.name
                for entry in entries
                if project_files.SLUG.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    return sorted(ids, reverse=True)


def load(root: Path, run_id: str) -> Run:
    """The run with that id, the project folder, or the sample run; raises `Unreadable`."""
    if run_id == WORKSPACE:
        return Run(WORKSPACE, root, root, Record(), "none")
    folder = sample_run.unpacked(root) if run_id == SAMPLE else root / "runs" / project_files.slug(run_id)
    path = folder / record_file.RECORD_FILE
    if not folder.is_dir():
        raise Unreadable("unreadable.run", name=run_id)
    try:
        record = _parse_record(project_files.inside(root, path), *_file_version(path))
    except FileNotFoundError:
        raise Unreadable("unreadable.missing", file=record_file.RECORD_FILE) from None
    except (ValueError, RecursionError):
        raise Unreadable("unreadable.damaged", file=record_file.RECORD_FILE) from None
    return Run(run_id, root, folder, record, _state(record))


def list_runs(root: Path, run_filter: RunFilter | None = None, *, start: int = 0, count: int = 50, most_read: int = 1000) -> Page:
    """Up to `count` matching runs, from position `start` among the ids; reads at most `most_read` records."""
    run_filter = run_filter or RunFilter()
    every = run_ids(root)
    page = Page(total=len(every))
    read = 0
    for position in range(start, len(every)):
        if run_filter.use_case and not may_include(every[position], run_filter.use_case):
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
        if _matches(run, run_filter):
            page.runs.append(run)
    return page


def find_by_flow_run(root: Path, flow_run_id: str, among: int = 50) -> Run | None:
    """The run of a Prefect flow run, searched among the newest."""
    for run_id in run_ids(root)[:among]:
        try:
            run = load(root, run_id)
        except Unreadable:
            continue
        if run.record.prefect.get("flow_run_id") == flow_run_id:
            return run
    return None


def latest(root: Path, use_case: str = "", count: int = 30) -> list[Run]:
    """The newest runs, of one use case if it is named; searches until it finds some or reaches the end."""
    start: int | None = 0
    while start is not None:
        page = list_runs(root, RunFilter(use_case=use_case), start=start, count=count, most_read=300)
        if page.runs:
            return page.runs
        start = page.next
    return []


def newest_with(runs: Sequence[Run], use_case: str, file: str) -> Run | None:
    """The first of these runs that has the file, such as `release/table.json`, of the use case; None without any."""
    return next((run for run in runs if (run.folder / "data" / use_case / file).is_file()), None)


def may_include(run_id: str, use_case: str) -> bool:
    """Whether a run may include the use case, by its id alone; most ids answer that without reading the record."""
    match = RUN_ID.fullmatch(run_id)
    if not match or MANY_USE_CASES.fullmatch(match["names"]):
        return True
    return f"-{use_case.replace('_', '-').lower()}-" in f"-{match['names']}-"


def stage_parts(stage: str) -> tuple[str, str, str]:
    """Verb, use case and recipe of a stage name such as `compress@vision-int8`. A use case's name has no dash.

    The recipe of a stage with an additional seed ends in the seed: `int8 #8`, or `#8` where the stage takes no recipe.
    """
    verb, _, rest = stage.partition("@")
    use_case, _, recipe = rest.partition("-")
    if verb.endswith(SEED_SUFFIX):
        recipe, _, seed = recipe.rpartition("-")
        recipe = f"{recipe} #{seed}".strip()
    return verb, use_case, recipe


def stage_state(entry: StageEntry) -> StageState:
    """State of a stage as the dashboard names it."""
    state = _STAGE_STATES.get(entry.state, "waiting")
    return "retrying" if state == "running" and entry.attempt > 1 else state


def annotation(run: Run) -> RunAnnotation:
    """The run's annotation; empty if there is none."""
    try:
        project_files.inside(run.root, run.folder / search.ANNOTATION_FILE)
    except Unreadable:
        return RunAnnotation()
    return search.read_annotation(run.folder)


def save_annotation(run: Run, annotation: RunAnnotation) -> None:
    """Write the annotation beside the record; the project folder has none."""
    if run.id != WORKSPACE:
        search.write_annotation(run.folder, annotation)


def results_row(run: Run, use_case: str) -> dict[str, Any]:
    """The released model's row of the results table in the record; the dense model's row where nothing was released."""
    results = run.record.results.get(use_case)
    rows = results.get("table") if isinstance(results, dict) else None
    if isinstance(rows, dict):
        rows = rows.get("rows")
    verdict = results.get("verdict") if isinstance(results, dict) else None
    chosen = verdict.get("released") or verdict.get("chosen") if isinstance(verdict, dict) else None
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return next((row for row in rows if row.get("recipe") == (chosen or "dense")), {})


def _matches(run: Run, run_filter: RunFilter) -> bool:
    record, who = run.record, str(run.record.asked.get("who", ""))
    return run_filter.matches(
        run_id=run.id,
        use_cases=record.use_cases,
        who=who,
        state=run.state,
        text=lambda: search.searched_text(run.id, annotation(run), record.overrides, who, record.error),
        annotation=lambda: annotation(run),
    )


def _file_version(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@lru_cache(maxsize=12_000)
def _parse_record(path: Path, mtime_ns: int, size: int, inode: int) -> Record:
    record, _ = record_file.read(path.parent)
    if record["state"] == record_file.DAMAGED:
        raise ValueError(record["error"])
    return record_schema.validate(record)


def _state(record: Record) -> State:
    """State of the run; crashed if the record says running but its process is gone."""
    state = _STATES.get(record.state, "crashed")
    return "crashed" if state in LIVE and not os_processes.is_alive(record.process) else state
