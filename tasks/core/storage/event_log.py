"""The event log of a stage: progress, metrics and messages as append-only JSON lines, which other processes may follow."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PROGRESS_INTERVAL_S = 0.2


class EventLog:
    """Writes the events of one stage.

    Each line is one JSON object with `seq` (from 0), `at` (UTC) and `event`: started, progress, metric, log,
    table, finished or failed. An attempt after one that finished or failed starts a new file. An attempt after one that
    was killed appends to the same file.
    """

    def __init__(self, path: Path, *, screen: bool = False) -> None:
        self.path = path
        self.stage = path.stem
        self._lock = threading.Lock()
        self._progress_at = 0.0
        self._started_at = time.monotonic()
        self._terminal = TerminalProgress(self.stage) if screen else None
        path.parent.mkdir(parents=True, exist_ok=True)
        earlier = list(read_events(path))
        if earlier and earlier[-1]["event"] in ("finished", "failed"):
            earlier = []
        self._seq = len(earlier)
        self._file = path.open("a" if earlier else "w", encoding="utf-8")
        if earlier and not path.read_bytes().endswith(b"\n"):
            self._file.write("\n")  # end the line that the killed attempt left incomplete
        attempt = 1 + sum(event["event"] == "started" for event in earlier)
        self.event("started", pid=os.getpid(), argv=sys.argv[1:], attempt=attempt)

    def event(self, event: str, **fields: Any) -> None:
        """Append one line and flush it, so that readers see it immediately."""
        with self._lock:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._file.write(json.dumps({"seq": self._seq, "at": at, "event": event, **fields}, allow_nan=False) + "\n")
            self._file.flush()
            self._seq += 1

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report `done` of `total` units. At most a few lines per second are written; the last one always is."""
        now = time.monotonic()
        if done < total and now - self._progress_at < PROGRESS_INTERVAL_S:
            return
        self._progress_at = now
        self.event("progress", done=done, total=total, unit=unit)
        if self._terminal:
            self._terminal.progress(done, total, unit)

    def metric(self, step: int, **values: float) -> None:
        """Report one value of each named metric. A value that is not finite is written as null, because JSON has no NaN."""
        finite = {name: value if abs(value) < float("inf") else None for name, value in values.items()}
        self.event("metric", step=step, values=finite)
        if self._terminal:
            self._terminal.print(f"{step}: " + "  ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def log(self, message: str, level: str = "info") -> None:
        """Write a message for people."""
        self.event("log", level=level, message=message)
        if self._terminal:
            self._terminal.print(message)

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write a small table for people, as a list of rows."""
        self.event("table", name=name, rows=rows)

    def finish(self) -> None:
        """Write the last event of a stage that succeeded, with its wall time, CPU time and peak memory, and close the log."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        self.event(
            "finished",
            wall_s=round(time.monotonic() - self._started_at, 3),
            cpu_s=round(sum(usage.ru_utime + usage.ru_stime for usage in (own, children)), 3),
            peak_memory_bytes=max(own.ru_maxrss, children.ru_maxrss) * 1024,
        )
        self.close()

    def fail(self, error: str, details: str = "") -> None:
        """Write the last event of a stage that failed, with a one-line error and a traceback in `details`. Close the log."""
        self.event("failed", error=error, details=details)
        self.close()

    def close(self) -> None:
        if self._terminal:
            self._terminal.close()
        self._file.close()


class TerminalProgress:
    """Shows events in a terminal, with a progress bar; prints plain lines when the output is not a terminal."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.console = Console(stderr=True)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=self.console, transient=True)

    def progress(self, done: int, total: int, unit: str) -> None:
        if self.bar is None:
            return
        if self.task is None:
            self.bar.start()
            self.task = self.bar.add_task(self.stage)
        self.bar.update(self.task, completed=done, total=total, description=f"{self.stage} {unit}")

    def print(self, message: str) -> None:
        self.console.print(f"{self.stage}  {message}", markup=False, highlight=False)

    def close(self) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.stop()


def read_events(path: Path, after: int = 0) -> Iterator[dict[str, Any]]:
    """The complete events of an event log from byte `after` on. Incomplete lines of a killed stage are skipped."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(after)
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                yield event
