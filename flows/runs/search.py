"""Find runs among ten thousand: by a part of the name, by use case, state, time and person; and what people keep about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from flows.runs import run_record
from flows.runs.run_record import Run
from tasks.core.atomic_files import write_json
from tasks.core.errors import UserError

NOTES = "notes.json"
MOST_NOTE_LETTERS = 4000
NEWEST = "newest"
AGO = re.compile(r"(\d+)\s*(min|h|d|w)")
UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; what is empty does not narrow."""

    use_case: str = ""
    state: str = ""
    since: str = ""
    """The beginning of the first id that is new enough; see `since`."""
    who: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class RunAnnotation:
    """What people keep about a run, in a file beside its record."""

    pinned: bool = False
    text: str = ""


def select(root: Path, wanted: RunFilter) -> Iterator[Run]:
    """The runs that match, newest first, each read when it is asked for; an id tells the time without reading."""
    for run in run_record.iter_runs(root, since=wanted.since):
        record = run.record
        if (
            (not wanted.use_case or wanted.use_case in record.get("use_cases", ()))
            and (not wanted.who or wanted.who == record.get("asked", {}).get("who"))
            and (not wanted.state or wanted.state.lower() == run_record.state(run).lower())
            and (not wanted.pinned or note(run.folder).pinned)
        ):
            yield run


def since(text: str) -> str:
    """`2026-01-31`, `2026-01-31T12:00`, `3d`, `12h`, `30min` or `2w` ago, as the beginning of a run's id."""
    if found := AGO.fullmatch(text.strip()):
        return f"{datetime.now(UTC) - int(found[1]) * UNITS[found[2]]:%Y%m%d-%H%M%S}"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(f"--since {text!r} is no time; write a date such as 2026-01-31, or 3d, 12h, 30min, 2w") from None
    return f"{moment.astimezone(UTC):%Y%m%d-%H%M%S}"


def pick(root: Path, name: str) -> Run:
    """The run of that id, of which that is the only one to begin or end so, or the `newest`."""
    names = run_record.run_ids(root)
    if name == NEWEST and names:
        return run_record.find(root, names[0])
    near = [each for each in names if name and (each.startswith(name) or each.endswith(name))]
    if name not in names and len(near) > 1:
        raise UserError(f"{len(near)} runs begin or end with {name!r}, such as {near[0]} and {near[1]}; give more of it")
    if name not in names and not near and (close := get_close_matches(name, names, n=1)):
        raise UserError(f"no run {name!r}; did you mean {close[0]}?")
    return run_record.find(root, name if name in names or not near else near[0])


def note(folder: Path) -> RunAnnotation:
    """What people keep about the run in that folder; nothing if that cannot be read."""
    try:
        found = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return RunAnnotation()
    return RunAnnotation(bool(found.get("pinned")), str(found.get("note", ""))) if isinstance(found, dict) else RunAnnotation()


def keep(run: Run, kept: RunAnnotation) -> None:
    """Write it down beside the record, which only the conductor writes."""
    write_json(run.folder / NOTES, {"pinned": kept.pinned, "note": kept.text[:MOST_NOTE_LETTERS]})
