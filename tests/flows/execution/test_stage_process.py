"""A stage's process: its end is explained, its group can be stopped, and its event log is followed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flows.execution.stage_process import run_stage_process
from flows.system import limits


def run_python(folder: Path, body: str, **more: Any) -> Any:
    command = ("python", "-c", body)
    return run_stage_process("try@toy", command, folder, **{"stop": threading.Event(), "on_event": lambda event: None, **more})


def test_a_failed_process_is_explained_in_one_line(tmp_path: Path) -> None:
    assert run_python(tmp_path, "raise SystemExit('error: no luck')").error == "no luck"
    killed = run_python(tmp_path, "import os; os.kill(os.getpid(), 9)").error
    assert killed == f"was ended by SIGKILL, by hand or for want of memory ({limits.memory_text()})"
    assert run_python(tmp_path, "raise SystemExit(3)").error == "ended with exit code 3"
    assert run_python(tmp_path, "import time; time.sleep(60)", timeout_s=0.3).error == "ran out of time: 0.3 s"


def test_a_stop_ends_the_whole_group_even_if_it_ignores_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.execution.stage_process.GRACE_S", 0.5)
    stop, pids = threading.Event(), tmp_path / "pids"
    body = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )

    def stop_once_started() -> None:
        wait_until(pids.exists)
        stop.set()

    threading.Thread(target=stop_once_started).start()
    outcome = run_python(tmp_path, body, stop=stop)
    assert outcome.stopped
    assert outcome.error == "was stopped"
    for pid in map(int, pids.read_text().split()):
        wait_until(
            lambda pid=pid: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
        )


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends a process with its parent")
def test_a_stage_ends_with_its_runner_from_the_start(tmp_path: Path) -> None:
    body = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); raise SystemExit(n.value)"
    assert run_python(tmp_path, body).error == "ended with exit code 9"  # SIGKILL, before any code of the stage
    wrapper = [sys.executable, "-m", "flows.system.exec_with_parent", "1", sys.executable, "-c", "open('begun', 'w')"]
    assert subprocess.run(wrapper, cwd=tmp_path).returncode == 0
    assert not (tmp_path / "begun").exists()  # its parent has another number: it has ended meanwhile


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_event_is_reported_once_when_its_line_is_complete(tmp_path: Path) -> None:
    events: list[Any] = []
    body = (
        "import json, pathlib, time\n"
        "with pathlib.Path('journal/try@toy.jsonl').open('a') as file:\n"
        "    for n in range(3):\n"
        "        file.write(json.dumps({'event': 'log', 'message': str(n)})); file.flush(); time.sleep(0.15); file.write('\\n')\n"
        "    file.write(json.dumps({'event': 'finished', 'wall_s': 1.5, 'cpu_s': 1.0, 'peak_memory_bytes': 5}) + '\\n')\n"
    )
    for _ in range(2):
        events.clear()
        outcome = run_python(tmp_path, body, on_event=events.append)
        assert [event.get("message") for event in events] == ["0", "1", "2", None]
        assert outcome.cost == {"wall_s": 1.5, "cpu_s": 1.0, "peak_memory_bytes": 5}
