"""Start a stage's command in a process group of its own, follow its journal, and end the whole group when it must stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.core.event_log import read_events

POLL_S = 0.1
GRACE_S = 5.0
"""How long a stage may tidy up after SIGTERM before it is killed."""
MISTAKE = 2
"""The exit code of a stage that was asked for something it cannot do."""

Event = Mapping[str, Any]


@dataclass(slots=True)
class Outcome:
    """How a stage's process ended."""

    code: int
    """Its exit code; negative for the signal that ended it."""
    error: str = ""
    """One line for people, empty when all went well."""
    details: str = ""
    cost: dict[str, Any] = field(default_factory=dict)
    """wall_s, cpu_s and peak_memory_bytes, as the stage itself found."""
    stopped: bool = False
    """Whether it was told to stop, or ran out of time."""


def play(
    name: str,
    command: tuple[str, ...],
    folder: Path,
    *,
    stop: threading.Event,
    heard: Callable[[Event], None],
    started: Callable[[int], None] = lambda pid: None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Outcome:
    """Run a stage's command in the workspace `folder` until it ends, or until `stop` is set.

    `heard` is called with each event of the stage's journal as it is written. What the process prints goes to
    `journal/<name>.out`. The stage asks the kernel to end it with the thread that calls this function.
    """
    journal, output = folder / "journal" / f"{name}.jsonl", folder / "journal" / f"{name}.out"
    journal.parent.mkdir(exist_ok=True)
    events = list(read_events(journal))
    if events and events[-1]["event"] in ("finished", "failed"):
        journal.unlink()  # the stage begins a new one; so no old event is heard again
    heed = EventFollower(journal)
    heed.position = journal.stat().st_size if journal.exists() else 0
    argv = [sys.executable if command[0] == "python" else command[0], *command[1:]]
    began = time.monotonic()
    with output.open("wb") as printed:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=_environment(name, folder, environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        started(process.pid)
        late = False
        while not _ended(process.pid) and not stop.wait(POLL_S):
            heed.listen(heard)
            late = timeout_s is not None and time.monotonic() - began > timeout_s
            if late:
                break
        stopped = not _ended(process.pid)
    finally:
        code = end(process)
    heed.listen(heard)
    said = f"ran out of time: {timeout_s:g} s" if late else "was stopped" if stopped else ""
    return _outcome(code, said, heed.last, output)


def end(process: subprocess.Popen[bytes]) -> int:
    """End what is left of the process's group, first kindly, then not; give its exit code."""
    deadline = time.monotonic() + GRACE_S
    if not _ended(process.pid):
        os.killpg(process.pid, signal.SIGTERM)
        while not _ended(process.pid) and time.monotonic() < deadline:
            time.sleep(POLL_S / 2)
    # The leader is not reaped yet, so its number cannot belong to another group.
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class EventFollower:
    """Hears each line of a growing journal once, when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.last: Event = {}

    def listen(self, heard: Callable[[Event], None]) -> None:
        """Tell `heard` every event written since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.position)
                lines, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self.position += len(lines) + len(newline)
        for line in lines.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the line that an earlier attempt's death cut short
            if isinstance(event, dict) and "event" in event:
                self.last = event
                heard(event)


def _ended(pid: int) -> bool:
    """Whether the process has ended; it stays unreaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _environment(name: str, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Ours without Prefect's settings, with what DVC would add, and with Python's folder first on the path."""
    drop = ("PREFECT_", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONSAFEPATH")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "DVC_ROOT": str(folder), "DVC_STAGE": name, **more}


def _outcome(code: int, said: str, last: Event, output: Path) -> Outcome:
    if not said and code == 0:
        cost = {key: last[key] for key in ("wall_s", "cpu_s", "peak_memory_bytes") if key in last}
        return Outcome(code, cost=cost)
    failed = last if last.get("event") == "failed" else {}
    error = (
        said or failed.get("error") or (_by_signal(-code) if code < 0 else _last_line(output)) or f"ended with exit code {code}"
    )
    return Outcome(code or 1, str(error), str(failed.get("details", "")), stopped=bool(said))


def _by_signal(number: int) -> str:
    name = signal.Signals(number).name
    return f"was ended by {name}" + (", by hand or for want of memory" if number == signal.SIGKILL else "")


def _last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().removeprefix("error: ") if lines else ""
