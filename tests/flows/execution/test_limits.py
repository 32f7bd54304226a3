"""A stage without progress is ended, a want of memory named with its limit, and a run refused where the disk is too small."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from flows.execution import preflight
from flows.execution.stage_process import ProcessResult, run_stage_process
from flows.system import limits
from tasks.core.errors import UserError
from tests.support.executed_runs import both_runs, toy_request


def run_python(folder: Path, code: str, patience_s: float) -> ProcessResult:
    command = (sys.executable, "-c", code)
    return run_stage_process(
        "stage", command, folder, stop=threading.Event(), on_event=lambda event: None, timeout_s=60, patience_s=patience_s
    )


def test_a_stage_that_is_blocked_in_c_code_is_ended_and_said(tmp_path: Path) -> None:
    blocked = "import ctypes, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); ctypes.CDLL(None).pause()"
    result = run_python(tmp_path, blocked, 1.0)
    assert result.stopped
    assert result.error.startswith("made no progress for 1 s, no event and no processor time; memory: ")


def test_a_stage_that_computes_without_saying_so_goes_on(tmp_path: Path) -> None:
    busy = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: sum(range(10_000))"
    assert run_python(tmp_path, busy, 0.8).exit_code == 0


def test_a_want_of_memory_is_named_with_the_limit(tmp_path: Path) -> None:
    greedy = "import resource; resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000)); bytearray(10**9)"
    result = run_python(tmp_path, greedy, 60)
    assert "MemoryError; memory is limited to " in result.error
    assert limits.memory_text().endswith(("the machine", "ulimit -v", "ulimit -d", "the control group"))


def test_a_run_that_needs_more_disk_than_there_is_is_refused_before_it_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = toy_request(project)
    largest = max(preflight.output_bytes(run.record) for run in both_runs(project))
    assert largest > 0
    assert preflight.needed_disk_bytes(project, request) == preflight.LEAST_DISK_BYTES + 2 * largest
    assert preflight.check(project, request) == []
    monkeypatch.setattr(limits, "free_disk_bytes", lambda folder: 100_000_000)
    with pytest.raises(UserError, match=r"has 0.1 GB free, and this run needs about 0.2 GB; `bonsai gc` removes old runs"):
        preflight.check(project, request)
    monkeypatch.setattr(limits, "memory_limits", lambda: {"ulimit -v": 1_200_000_000})
    monkeypatch.setattr(limits, "free_disk_bytes", lambda folder: 10**12)
    assert preflight.check(project, request) == ["memory is limited to 1.2 GB by ulimit -v; a stage may need more"]


def test_a_fault_of_the_disk_is_one_line() -> None:
    full = OSError(28, "No space left on device", "/x/y")
    assert limits.disk_fault(full).startswith("the disk failed at /x/y: No space left on device; ")
    assert "disk I/O error" in limits.disk_fault(sqlite3.OperationalError("disk I/O error"))
    assert limits.disk_fault(OSError(2, "No such file or directory")) == ""
    assert limits.disk_fault(sqlite3.OperationalError("no such table")) == ""
