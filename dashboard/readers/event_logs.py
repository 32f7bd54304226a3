"""What a stage says while it works, read on from where the last reading stopped."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from dashboard.readers.project_files import STAGE, inside
from dashboard.text import formatting
from flows.runs.event_follower import EventFollower

KEPT_LOG_LINES = 500
KEPT_POINTS = 20_000
MAX_STEP_BYTES = 8_000_000
"""The most that is read of one journal in one go; the rest is read the next time."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line for people."""

    at: str
    level: str
    message: str


@dataclass(slots=True)
class Attempt:
    """One try of a stage: from its `started` to its `finished` or `failed`."""

    started_at: str
    ended_at: str = ""
    outcome: str = ""
    error: str = ""


@dataclass(slots=True)
class StageEvents:
    """All that one stage's journal said so far."""

    attempts: list[Attempt] = field(default_factory=list)
    done: int = 0
    total: int = 0
    unit: str = ""
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Points (step, value) of each named curve; a value that was not finite is left out."""
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT_LOG_LINES))
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    error: str = ""
    details: str = ""
    at: str = ""
    """When it last spoke."""
    pid: int = 0
    """The process that began the last attempt."""

    @property
    def share(self) -> float | None:
        """How much of its work is done, 0..1; None if it has not said."""
        return min(self.done / self.total, 1.0) if self.total > 0 else None

    @property
    def ended(self) -> bool:
        return bool(self.attempts and self.attempts[-1].outcome)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in one event; one of a kind or shape that is not known is passed over."""
        self.at = str(event.get("at", self.at))
        heard = getattr(self, f"_hear_{event.get('event')}", None)
        if heard is not None:
            try:
                heard(event)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.lines.append(Line(self.at, "warning", formatting.clean(event)))

    def _hear_started(self, event: Mapping[str, Any]) -> None:
        self.attempts.append(Attempt(self.at))
        self.done = self.total = 0
        self.error = self.details = ""
        self.pid = int(event.get("pid", 0))

    def _hear_progress(self, event: Mapping[str, Any]) -> None:
        self.done, self.total, self.unit = int(event["done"]), int(event["total"]), formatting.clean(event["unit"], 40)

    def _hear_metric(self, event: Mapping[str, Any]) -> None:
        step = int(event["step"])
        for name, value in event["values"].items():
            points = self.curves.setdefault(formatting.clean(name, 60), [])
            while points and points[-1][0] >= step:  # a training that went on from a checkpoint says some steps again
                points.pop()
            if value is not None and isfinite(value) and len(points) < KEPT_POINTS:
                points.append((step, float(value)))

    def _hear_log(self, event: Mapping[str, Any]) -> None:
        self.lines.append(Line(self.at, str(event.get("level", "info")), formatting.clean(event["message"], 2000)))

    def _hear_table(self, event: Mapping[str, Any]) -> None:
        self.tables[formatting.clean(event["name"], 80)] = [dict(row) for row in event["rows"][:200]]

    def _hear_finished(self, event: Mapping[str, Any]) -> None:
        self.wall_s, self.cpu_s = float(event["wall_s"]), float(event["cpu_s"])
        self.peak_memory_bytes = int(event["peak_memory_bytes"])
        self._end("finished")

    def _hear_failed(self, event: Mapping[str, Any]) -> None:
        self.error, self.details = formatting.clean(event["error"], 2000), str(event.get("details", ""))[:20_000]
        self._end("failed", self.error)

    def _end(self, outcome: str, error: str = "") -> None:
        if self.attempts:
            last = self.attempts[-1]
            last.ended_at, last.outcome, last.error = self.at, outcome, error


class LogTail:
    """A stage's events so far; begins anew when another file takes the event log's place."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._follower = EventFollower(path, max_bytes=MAX_STEP_BYTES)
        self._events = StageEvents()

    def read(self) -> StageEvents:
        """All events so far. The object is shared: not to be changed."""
        with self._lock:
            try:
                events = self._follower.poll()
            except OSError as error:
                self._events.lines.append(Line(self._events.at, "warning", error.strerror or ""))
                return self._events
            if self._follower.restarted:
                self._events = StageEvents()
            for event in events:
                self._events.hear(event)
            return self._events


class Shelf:
    """The journals read lately."""

    def __init__(self, most: int = 400) -> None:
        self._tails: OrderedDict[Path, LogTail] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def tail(self, path: Path) -> LogTail:
        with self._lock:
            found = self._tails.pop(path, None) or LogTail(path)
            self._tails[path] = found
            while len(self._tails) > self._most:
                self._tails.popitem(last=False)
            return found


_SHELF = Shelf()


def read(root: Path, folder: Path, stage: str) -> StageEvents:
    """What the stage of that name has said in the workspace `folder`; empty if nothing."""
    if not STAGE.fullmatch(stage):
        return StageEvents()
    path = folder / "journal" / f"{stage}.jsonl"
    return _SHELF.tail(inside(root, path)).read()


def stages(folder: Path) -> list[str]:
    """The stages that keep a journal in the workspace, those that spoke last at the end."""
    found = [(path.stat().st_mtime_ns, path.stem) for path in (folder / "journal").glob("*.jsonl") if STAGE.fullmatch(path.stem)]
    return [name for _, name in sorted(found)]
