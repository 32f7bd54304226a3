"""The progress of a run on the console: one line per event, and live progress bars on a terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

COLOURS = {
    "Unchanged": "dim",
    "Restored": "cyan",
    "Completed": "green",
    "Failed": "red",
    "Cancelled": "yellow",
    "NotRun": "yellow",
}


class PipeSafeConsole(Console):
    """A console that stops printing on a broken pipe, so that a run goes on when nobody reads its output."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())


def stdout() -> Console:
    """A console on standard output; 240 columns wide when it is no terminal."""
    console = PipeSafeConsole(highlight=False)
    if not console.is_terminal:
        console.width = 240
    return console


def stderr() -> Console:
    """A console on standard error, for what accompanies JSON on standard output."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 240)


class RunDisplay(Protocol):
    """Receives the progress of a run."""

    def begin(self, run_id: str, stages: list[str]) -> None: ...

    def message(self, text: str, style: str = "") -> None: ...

    def stage(self, name: str, state: str, text: str = "") -> None: ...

    def event(self, name: str, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class ConsoleDisplay:
    """Prints the progress of a run: one line per event, and a progress bar per running stage on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or stdout()
        self.run_id = ""
        self.width = 0
        self._lock = threading.RLock()
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn(), TextColumn("{task.fields[done]}"))
            self._progress = Progress(*columns, console=self.console, transient=True)

    def begin(self, run_id: str, stages: list[str]) -> None:
        self.run_id = run_id
        self.width = max(map(len, stages), default=0)
        self.message(f"run {run_id}", "bold")

    def message(self, text: str, style: str = "") -> None:
        with self._lock:
            self.console.print(escape(text), style=style, soft_wrap=True)

    def stage(self, name: str, state: str, text: str = "") -> None:
        with self._lock:
            if state == "Running":
                self._start(name)
            else:
                self._stop(name)
                colour = COLOURS.get(state, "")
                coloured = f"[{colour}]{state:<9}[/]" if colour else f"{state:<9}"
                self.console.print(f"{escape(name):<{self.width}}  {coloured}  {escape(text)}".rstrip(), soft_wrap=True)

    def event(self, name: str, event: Mapping[str, Any]) -> None:
        """Show one entry of a stage's event log."""
        with self._lock:
            if event["event"] == "progress" and name in self._bars and self._progress:
                done = escape(f"{event['done']:,} of {event['total']:,} {event['unit']}")
                self._progress.update(self._bars[name], completed=event["done"], total=event["total"], done=done)
            elif text := format_event(event):
                style = "yellow" if event.get("level") == "warning" else "dim"
                self.console.print(f"{escape(name):<{self.width}}  {escape(text)}", style=style, soft_wrap=True)

    def close(self) -> None:
        with self._lock:
            if self._progress:
                self._progress.stop()

    def _start(self, name: str) -> None:
        if self._progress is None:
            self.console.print(f"{escape(name):<{self.width}}  Running")
        else:
            self._progress.start()
            self._bars[name] = self._progress.add_task(f"{escape(name):<{self.width}}", total=None, done="")

    def _stop(self, name: str) -> None:
        if self._progress and name in self._bars:
            self._progress.remove_task(self._bars.pop(name))
            if not self._bars:
                self._progress.stop()


class NullDisplay:
    """Discards the progress of a run."""

    def begin(self, run_id: str, stages: list[str]) -> None: ...

    def message(self, text: str, style: str = "") -> None: ...

    def stage(self, name: str, state: str, text: str = "") -> None: ...

    def event(self, name: str, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def format_event(event: Mapping[str, Any]) -> str:
    """An event of an event log as one line of text; empty for events that are not printed."""
    if event["event"] == "log":
        return str(event["message"])
    if event["event"] == "metric":
        values = "  ".join(f"{name} {value:.4g}" for name, value in event["values"].items() if value is not None)
        return f"{event['step']}: {values}"
    return ""


def one_line(error: BaseException) -> str:
    """An exception's message on one line."""
    return " ".join(str(error).split())


def format_duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
