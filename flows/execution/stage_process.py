"""Run a stage's command in its own process group, follow its event log, and end the whole group when it must stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.runs.event_follower import Event, EventFollower
from flows.system import limits
from flows.system.limits import ProgressWatch
from tasks.core.storage.event_log import read_events

POLL_S = 0.1
GRACE_S = 5.0
"""How long a stage may clean up after SIGTERM before it is killed."""
DEFAULT_PATIENCE_S = float(os.environ.get("BONSAI_PATIENCE_S", "900"))
"""How long a stage may do nothing at all before it is ended."""
OUT_OF_MEMORY = re.compile(r"MemoryError|bad_alloc|cannot allocate memory|out of memory|unable to allocate|CPUAllocator", re.I)
USER_ERROR_EXIT_CODE = 2
"""The exit code of a stage that failed with a `UserError`."""


@dataclass(slots=True)
class ProcessResult:
    """How a stage's process ended."""

    exit_code: int
    """Negative for the signal that ended it."""
    error: str = ""
    """One line for people, empty on success."""
    details: str = ""
    cost: dict[str, Any] = field(default_factory=dict)
    """wall_s, cpu_s and peak_memory_bytes, as the stage measured them."""
    stopped: bool = False
    """Whether it was stopped on request or by its time limit."""


def run_stage_process(
    name: str,
    command: tuple[str, ...],
    folder: Path,
    *,
    stop: threading.Event,
    on_event: Callable[[Event], None],
    on_start: Callable[[int], None] = lambda pid: None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    patience_s: float = DEFAULT_PATIENCE_S,
) -> ProcessResult:
    """Run a stage's command in the workspace `folder` until it ends, `stop` is set, or `timeout_s` is over.

    It is ended too when for `patience_s` it neither reports, computes, reads nor writes, as one that is blocked in C code.

    `on_event` is called with each event of the stage's log as it is written, `on_start` with the process's number. What the
    process prints goes to `journal/<name>.out`. The stage asks the kernel to end it with the thread that calls this function.
    """
    event_log, output = folder / "journal" / f"{name}.jsonl", folder / "journal" / f"{name}.out"
    event_log.parent.mkdir(exist_ok=True)
    earlier = list(read_events(event_log))
    if earlier and earlier[-1]["event"] in ("finished", "failed"):
        event_log.unlink()  # the stage begins a new log; no old event is to be reported again
    follower = EventFollower(event_log, position=event_log.stat().st_size if event_log.exists() else 0)
    last: Event = {}

    def report_events() -> None:
        nonlocal last
        for event in follower.poll():
            last = event
            watch.note_event()
            on_event(event)

    argv = list(command)
    if command[0] == "python":  # it ends with this process, also if this one is killed before the command has begun
        argv = [sys.executable, "-m", "flows.system.exec_with_parent", str(os.getpid()), sys.executable, *command[1:]]
    started_at = time.monotonic()
    with output.open("wb") as output_file:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=_environment(name, folder, environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    watch = ProgressWatch(process.pid, patience_s)
    try:
        on_start(process.pid)
        timed_out = stalled = False
        while not _has_ended(process.pid) and not stop.wait(POLL_S):
            report_events()
            timed_out = timeout_s is not None and time.monotonic() - started_at > timeout_s
            stalled = watch.is_stalled()
            if timed_out or stalled:
                break
        stopped = not _has_ended(process.pid)
    finally:
        exit_code = end_process_group(process)
    report_events()
    stop_reason = f"ran out of time: {timeout_s:g} s" if timed_out else "was stopped" if stopped else ""
    if stalled and stopped:
        stop_reason = f"made no progress for {patience_s:g} s, no event and no processor time; memory: {limits.memory_text()}"
    return _result(exit_code, stop_reason, last, output)


def end_process_group(process: subprocess.Popen[bytes]) -> int:
    """End what is left of the process's group, by SIGTERM and, after `GRACE_S`, by SIGKILL; returns its exit code."""
    deadline = time.monotonic() + GRACE_S
    if not _has_ended(process.pid):
        os.killpg(process.pid, signal.SIGTERM)
        while not _has_ended(process.pid) and time.monotonic() < deadline:
            time.sleep(POLL_S / 2)
    # The leader is not reaped yet, so its number cannot belong to another group.
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _has_ended(pid: int) -> bool:
    """Whether the process has ended; it stays unreaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _environment(name: str, folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without Prefect's, with those that DVC would set, and with Python's folder first on PATH."""
    drop = ("PREFECT_", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONSAFEPATH")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "DVC_ROOT": str(folder), "DVC_STAGE": name, **extra}


def _result(exit_code: int, stop_reason: str, last: Event, output: Path) -> ProcessResult:
    if not stop_reason and exit_code == 0:
        cost = {key: last[key] for key in ("wall_s", "cpu_s", "peak_memory_bytes") if key in last}
        return ProcessResult(exit_code, cost=cost)
    failed = last if last.get("event") == "failed" else {}
    process_error = _signal_text(-exit_code) if exit_code < 0 else _last_line(output)
    error = stop_reason or failed.get("error") or process_error or f"ended with exit code {exit_code}"
    details = str(failed.get("details", ""))
    if not stop_reason and OUT_OF_MEMORY.search(f"{error}\n{details}"):
        error = f"{error}; memory is limited to {limits.memory_text()}"
    return ProcessResult(exit_code or 1, str(error), details, stopped=bool(stop_reason))


def _signal_text(number: int) -> str:
    name = signal.Signals(number).name
    reason = f", by hand or for want of memory ({limits.memory_text()})" if number == signal.SIGKILL else ""
    return f"was ended by {name}{reason}"


def _last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().removeprefix("error: ") if lines else ""
