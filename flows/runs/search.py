"""Find runs by a part of the id, by use case, state, time and person; and the annotations that people give them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from flows.reporting.console import stderr
from flows.runs import record_file, run_record
from flows.runs.run_record import Run
from flows.system.state_files import DamagedFile, read_state, write_state
from tasks.core.errors import UserError

ANNOTATION_FILE = "notes.json"
MAX_NOTE_LENGTH = 4000
NEWEST = "newest"
END_LENGTH = 4
"""How many hexadecimal digits an id ends with."""
AGO = re.compile(r"(\d+)\s*(min|h|d|w)")
UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class RunAnnotation:
    """A pin and a note that people give a run, in a file beside its record."""

    pinned: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; an empty field selects all."""

    use_case: str = ""
    states: tuple[str, ...] = ()
    """In upper or lower case."""
    since: str = ""
    """The smallest id to list; see `parse_since`."""
    who: str = ""
    """The user who requested the run."""
    text: str = ""
    """A part of the run's `text`, in upper or lower case."""
    pinned: bool = False

    def matches(
        self,
        *,
        run_id: str,
        use_cases: Collection[str],
        who: str,
        state: str,
        text: Callable[[], str],
        annotation: Callable[[], RunAnnotation],
    ) -> bool:
        """Whether a run with these properties is to be listed; `text` and `annotation` are read only when they decide it."""
        return (
            run_id >= self.since
            and (not self.use_case or self.use_case in use_cases)
            and (not self.who or self.who == who)
            and (not self.states or state.lower() in map(str.lower, self.states))
            and (not self.text or self.text.lower() in text().lower())
            and (not self.pinned or annotation().pinned)
        )


def filter_runs(root: Path, run_filter: RunFilter) -> Iterator[Run]:
    """The runs that match, newest first, read one by one; older ones than `since` are not read at all."""
    for run in run_record.iter_runs(root, since=run_filter.since):
        if _matches(run, run_filter):
            yield run


def _matches(run: Run, run_filter: RunFilter) -> bool:
    record, who = run.record, str(run.record.get("asked", {}).get("who", ""))
    if not run.is_readable:  # nothing is known of it but its id
        is_selected = not run_filter.states or run_record.DAMAGED.lower() in map(str.lower, run_filter.states)
        return is_selected and not run_filter.pinned and run.id >= run_filter.since

    def annotation() -> RunAnnotation:
        return read_annotation(run.folder)

    return run_filter.matches(
        run_id=run.id,
        use_cases=record.get("use_cases", ()),
        who=who,
        state=run_record.state(run),
        text=lambda: searched_text(run.id, annotation(), record.get("overrides", {}), who, str(record.get("error", ""))),
        annotation=annotation,
    )


def searched_text(run_id: str, annotation: RunAnnotation, overrides: object, who: str, error: str) -> str:
    """What a filter's `text` is looked for in."""
    return " ".join([run_id, annotation.text, json.dumps(overrides), who, error])


def parse_since(text: str) -> str:
    """`2026-01-31`, `2026-01-31T12:00`, `3d`, `12h`, `30min` or `2w` (ago) as the beginning of a run's id."""
    if match := AGO.fullmatch(text.strip()):
        return f"{datetime.now(UTC) - int(match[1]) * UNITS[match[2]]:%Y%m%d-%H%M%S}"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(f"--since {text!r} is no time; write a date such as 2026-01-31, or 3d, 12h, 30min, 2w") from None
    return f"{moment.astimezone(UTC):%Y%m%d-%H%M%S}"


def find_run(root: Path, name: str) -> Run:
    """The run with that id, the only run whose id begins or ends with it, or the `newest`; raises `UserError`.

    A damaged record of which there is a copy is repaired, and a line about it printed on standard error.
    """
    run_ids = run_record.run_ids(root)
    if name == NEWEST and run_ids:
        return _find_repaired(root, run_ids[0])
    candidates = [run_id for run_id in run_ids if name and (run_id.startswith(name) or run_id.endswith(name))]
    if name not in run_ids and len(candidates) > 1:
        raise UserError(
            f"{len(candidates)} runs begin or end with {name!r}, such as {candidates[0]} and {candidates[1]}; give more of it"
        )
    if name not in run_ids and not candidates and (near := _nearest(name, run_ids)):
        raise UserError(f"no run {name!r}; did you mean {near}?")
    return _find_repaired(root, name if name in run_ids or not candidates else candidates[0])


def _find_repaired(root: Path, run_id: str) -> Run:
    run = run_record.find(root, run_id)
    if run.damage and (line := record_file.repair(run.folder)):
        stderr().print(line, style="yellow", markup=False, soft_wrap=True)
    return run


def _nearest(name: str, run_ids: list[str]) -> str:
    """The run whose id or whose end of it is most like the name, or `newest`; empty if nothing is like it."""
    names = {**{run_id[-END_LENGTH:]: run_id for run_id in reversed(run_ids)}, **{run_id: run_id for run_id in run_ids}}
    names |= {NEWEST: NEWEST} if run_ids else {}
    close = get_close_matches(name, names, n=1)
    return names[close[0]] if close else ""


def read_annotation(folder: Path) -> RunAnnotation:
    """The annotation of the run in that folder; empty if there is none.

    One that is damaged pins the run and says so, since it may have been pinned.
    """
    try:
        return parse_annotation(read_state(folder / ANNOTATION_FILE))
    except FileNotFoundError:
        return RunAnnotation()
    except DamagedFile as damage:
        return RunAnnotation(pinned=True, text=f"({ANNOTATION_FILE} is damaged: {damage.reason}; `bonsai pin` writes it anew)")


def parse_annotation(content: object) -> RunAnnotation:
    """The annotation with this content of its JSON file; empty if it is not an object."""
    if not isinstance(content, dict):
        return RunAnnotation()
    return RunAnnotation(bool(content.get("pinned")), str(content.get("note", ""))[:MAX_NOTE_LENGTH])


def write_annotation(folder: Path, annotation: RunAnnotation) -> None:
    """Write the annotation beside the record, which only the run's own process writes."""
    write_state(folder / ANNOTATION_FILE, {"pinned": annotation.pinned, "note": annotation.text[:MAX_NOTE_LENGTH]})
