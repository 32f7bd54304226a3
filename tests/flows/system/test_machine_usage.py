"""The figures of the machine during a run: CPU, memory, disk and GPU, as far as there is one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.system import machine_usage
from flows.system.machine_usage import Meter

BUSY = "import time\nblock = bytearray(80_000_000)\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


def test_the_cpu_and_the_memory_of_the_runs_own_processes_are_measured(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    with subprocess.Popen([sys.executable, "-c", BUSY.format(1.2)]):
        time.sleep(1.0)
        figures = meter.sample()
    assert figures["run_memory_bytes"] > 80_000_000
    assert 0 < figures["run_cpu_share"] <= 1
    assert 0 <= figures["cpu_share"] <= 1
    assert 0 < figures["memory_bytes"] < figures["memory_total_bytes"] == psutil.virtual_memory().total
    assert figures["disk_free_bytes"] > 0


def test_lines_are_written_while_the_block_runs_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_usage, "FIRST_INTERVAL_S", 0.05)
    with machine_usage.measured(tmp_path):
        time.sleep(0.6)
    text = (tmp_path / machine_usage.FILE).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert 2 <= len(lines) <= 12
    assert lines == sorted(lines, key=lambda line: line["at"])
    time.sleep(0.2)
    assert (tmp_path / machine_usage.FILE).read_text() == text


def test_a_folder_that_cannot_be_written_to_ends_the_measuring_and_not_the_block(tmp_path: Path) -> None:
    with machine_usage.measured(tmp_path / "gone"):
        time.sleep(0.05)
    assert not (tmp_path / "gone").exists()


def test_the_gpus_are_asked_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '40, 1024, 4096'\necho '60, 2048, 4096'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    figures = Meter(tmp_path).sample()
    assert (figures["gpu_share"], figures["gpu_memory_bytes"], figures["gpu_memory_total_bytes"]) == (0.5, 3 * 2**30, 8 * 2**30)
    program.write_text("#!/bin/sh\necho 'no devices were found'\n")
    meter = Meter(tmp_path)
    assert "gpu_share" not in meter.sample()
    assert meter._gpu is None, "it is not asked again"
