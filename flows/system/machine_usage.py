"""How busy the machine is while a run is under way: a line of figures every few seconds, in a small file of the run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

FILE = "machine.jsonl"
FIRST_INTERVAL_S, LAST_INTERVAL_S = 1.0, 30.0
GROWTH = 300.0
"""The interval is the run's age divided by this: about 2,000 lines for a day."""
GPU_TIMEOUT_S = 3.0
GPU_QUERY = ("--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")


@contextmanager
def measured(folder: Path) -> Iterator[None]:
    """Measure while the block runs, in a thread of its own; a disk that is full ends the measuring and not the run."""
    stop = threading.Event()
    thread = threading.Thread(target=_measure, args=(folder, stop), name="machine usage", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(GPU_TIMEOUT_S + 1)


class Meter:
    """Figures of the machine, and of a process with its children."""

    def __init__(self, folder: Path, pid: int | None = None) -> None:
        self.folder = folder
        self.process = psutil.Process(pid)
        self.cores = len(os.sched_getaffinity(0))
        self._gpu = shutil.which("nvidia-smi")
        psutil.cpu_percent()  # the first call only begins the measuring
        self._at, self._moved, self._busy_s = time.monotonic(), _bytes_moved(), self._cpu_s(self._family())

    def sample(self) -> dict[str, Any]:
        """The figures now; those per second and the CPU shares (0..1, of all cores) are means since the last call.

        `run_cpu_share` and `run_memory_bytes` (RSS) belong to the run's processes, the other ones to the machine.
        """
        family, now = self._family(), time.monotonic()
        memory, moved, busy_s = psutil.virtual_memory(), _bytes_moved(), self._cpu_s(family)
        seconds = max(now - self._at, 1e-3)
        figures: dict[str, Any] = {
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}+00:00",
            "cpu_share": round(psutil.cpu_percent() / 100, 4),
            "run_cpu_share": round(min(1.0, max(0.0, busy_s - self._busy_s) / seconds / self.cores), 4),
            "memory_bytes": memory.total - memory.available,
            "memory_total_bytes": memory.total,
            "run_memory_bytes": sum(_rss(each) for each in family),
            "disk_free_bytes": shutil.disk_usage(self.folder).free,
        }
        if moved and self._moved:
            read, written = ((after - before) / seconds for before, after in zip(self._moved, moved, strict=True))
            figures |= {"disk_read_bytes_per_s": round(read), "disk_written_bytes_per_s": round(written)}
        self._at, self._moved, self._busy_s = now, moved, busy_s
        return figures | self._gpu_figures()

    def _family(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [self.process, *self.process.children(recursive=True)]
        return []

    def _cpu_s(self, family: list[psutil.Process]) -> float:
        """CPU seconds of the processes and of their ended children."""
        total = 0.0
        for each in family:
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _gpu_figures(self) -> dict[str, Any]:
        """The mean use of all GPUs (0..1) and their memory; empty without any."""
        if not self._gpu:
            return {}
        try:
            done = subprocess.run(
                [self._gpu, *GPU_QUERY],
                capture_output=True,
                text=True,
                timeout=GPU_TIMEOUT_S,
                check=True,
                stdin=subprocess.DEVNULL,
            )
            rows = [[float(cell) for cell in line.split(",")] for line in done.stdout.strip().splitlines()]
            shares, used, totals = zip(*rows, strict=True)
        except (OSError, subprocess.SubprocessError, ValueError):
            self._gpu = None  # there is no GPU behind it, or none that may be asked
            return {}
        mebi = 2**20
        return {
            "gpu_share": round(sum(shares) / len(shares) / 100, 4),
            "gpu_memory_bytes": int(sum(used) * mebi),
            "gpu_memory_total_bytes": int(sum(totals) * mebi),
        }


def _measure(folder: Path, stop: threading.Event) -> None:
    meter, started_at = Meter(folder), time.monotonic()
    with contextlib.suppress(OSError), (folder / FILE).open("a", encoding="utf-8") as file:
        while not stop.wait(min(LAST_INTERVAL_S, max(FIRST_INTERVAL_S, (time.monotonic() - started_at) / GROWTH))):
            file.write(json.dumps(meter.sample()) + "\n")
            file.flush()


def _bytes_moved() -> tuple[int, int] | None:
    """Bytes that all disks have read and written since the machine was started; None where the system does not tell."""
    try:
        counters = psutil.disk_io_counters()
    except (OSError, RuntimeError):
        return None
    return (counters.read_bytes, counters.write_bytes) if counters else None


def _rss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
