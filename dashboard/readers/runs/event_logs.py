"""Read stages' event logs incrementally, each from where the last read stopped."""

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

MAX_LOG_LINES = 500
MAX_POINTS = 20_000
MAX_READ_BYTES = 8_000_000
"""The most that one read takes of a log; the next read continues."""


@dataclass(frozen=True, slots=True)
class Line:
    """A log message."""

    at: str
    level: str
    message: str


@dataclass(slots=True)
class Attempt:
    """One attempt of a stage: from its `started` event to its `finished` or `failed`."""

    started_at: str
    ended_at: str = ""
    outcome: str = ""
    error: str = ""


@dataclass(slots=True)
class StageEvents:
    """The state of a stage after all events of its log so far."""

    attempts: list[Attempt] = field(default_factory=list)
    done: int = 0
    total: int = 0
    unit: str = ""
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Points (step, value) by curve name; values that are not finite are left out."""
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=MAX_LOG_LINES))
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    error: str = ""
    details: str = ""
    at: str = ""
    """Time of the last event."""
    pid: int = 0
    """Process of the last attempt."""

    @property
    def share(self) -> float | None:
        """Share of the work done, 0..1; None if it reports no progress."""
        return min(self.done / self.total, 1.0) if self.total > 0 else None

    @property
    def ended(self) -> bool:
        return bool(self.attempts and self.attempts[-1].outcome)

    def apply(self, event: Mapping[str, Any]) -> None:
        """Apply one event; an unknown kind is ignored, and one of unexpected structure becomes a warning line."""
        self.at = str(event.get("at", self.at))
        handler = getattr(self, f"_on_{event.get('event')}", None)
        if handler is not None:
            try:
                handler(event)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.lines.append(Line(self.at, "warning", formatting.clean(event)))

    def _on_started(self, event: Mapping[str, Any]) -> None:
        self.attempts.append(Attempt(self.at))
        self.done = self.total = 0
        self.error = self.details = ""
        self.pid = int(event.get("pid", 0))

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        self.done, self.total, self.unit = int(event["done"]), int(event["total"]), formatting.clean(event["unit"], 40)

    def _on_metric(self, event: Mapping[str, Any]) -> None:
        step = int(event["step"])
        for name, value in event["values"].items():
            points = self.curves.setdefault(formatting.clean(name, 60), [])
            while points and points[-1][0] >= step:  # a training resumed from a checkpoint repeats some steps
                points.pop()
            if value is not None and isfinite(value) and len(points) < MAX_POINTS:
                points.append((step, float(value)))

    def _on_log(self, event: Mapping[str, Any]) -> None:
        self.lines.append(Line(self.at, str(event.get("level", "info")), formatting.clean(event["message"], 2000)))

    def _on_table(self, event: Mapping[str, Any]) -> None:
        self.tables[formatting.clean(event["name"], 80)] = [dict(row) for row in event["rows"][:200]]

    def _on_finished(self, event: Mapping[str, Any]) -> None:
        self.wall_s, self.cpu_s = float(event["wall_s"]), float(event["cpu_s"])
        self.peak_memory_bytes = int(event["peak_memory_bytes"])
        self._end("finished")

    def _on_failed(self, event: Mapping[str, Any]) -> None:
        self.error, self.details = formatting.clean(event["error"], 2000), str(event.get("details", ""))[:20_000]
        self._end("failed", self.error)

    def _end(self, outcome: str, error: str = "") -> None:
        if self.attempts:
            last = self.attempts[-1]
            last.ended_at, last.outcome, last.error = self.at, outcome, error


class LogTail:
    """The events of a stage's growing log; starts over when the file was replaced."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._follower = EventFollower(path, max_bytes=MAX_READ_BYTES)
        self._events = StageEvents()

    def read(self) -> StageEvents:
        """The stage's state after the events so far. The result is shared: do not modify it."""
        with self._lock:
            try:
                events = self._follower.poll()
            except OSError as error:
                self._events.lines.append(Line(self._events.at, "warning", error.strerror or ""))
                return self._events
            if self._follower.restarted:
                self._events = StageEvents()
            for event in events:
                self._events.apply(event)
            return self._events


class LogTailCache:
    """The most recently read event logs (LRU)."""

    def __init__(self, most: int = 400) -> None:
        self._tails: OrderedDict[Path, LogTail] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def tail(self, path: Path) -> LogTail:
        with self._lock:
            tail = self._tails.pop(path, None) or LogTail(path)
            self._tails[path] = tail
            while len(self._tails) > self._most:
                self._tails.popitem(last=False)
            return tail


_TAILS = LogTailCache()


def read(root: Path, folder: Path, stage: str) -> StageEvents:
    """The events of a stage in the workspace `folder`; empty if it has no log."""
    if not STAGE.fullmatch(stage):
        return StageEvents()
    path = folder / "journal" / f"{stage}.jsonl"
    return _TAILS.tail(inside(root, path)).read()


def stages(folder: Path) -> list[str]:
    """The stages with an event log in the workspace, the most recently written last."""
    logs = [(path.stat().st_mtime_ns, path.stem) for path in (folder / "journal").glob("*.jsonl") if STAGE.fullmatch(path.stem)]
    return [name for _, name in sorted(logs)]
