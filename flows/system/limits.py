"""Limits of memory and free disk space, in words, and whether a process makes progress."""

from __future__ import annotations

import errno
import resource
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
DISK_ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
CPU_SHARE = 0.01
"""A process that computes for less than this share of the time does not compute."""
IO_BYTES = 65_536
"""Reads and writes of fewer bytes, such as heartbeats, are no progress."""


def memory_limits() -> dict[str, int]:
    """Bytes of memory that a process may have, by what limits it; the machine's own memory is always among them."""
    limits = {"the machine": psutil.virtual_memory().total}
    for name, kind in (("ulimit -v", resource.RLIMIT_AS), ("ulimit -d", resource.RLIMIT_DATA)):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits[name] = soft
    for path in CGROUP_FILES:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < limits["the machine"]:
            limits["the control group"] = int(text)
    return limits


def memory_text() -> str:
    """The smallest limit of memory, such as `1.2 GB by ulimit -v`."""
    name, size = min(memory_limits().items(), key=lambda item: item[1])
    return f"{size / 1e9:.1f} GB by {name}"


def free_disk_bytes(folder: Path) -> int:
    """Free bytes of the disk that holds the folder."""
    return shutil.disk_usage(folder).free


def disk_fault(error: BaseException) -> str:
    """What is wrong with the disk, in a line, where that is why something failed; empty for any other error."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        place = f" at {error.filename}" if error.filename else ""
        return f"the disk failed{place}: {error.strerror}; what was written before is whole, so run the command again"
    if isinstance(error, sqlite3.OperationalError) and "disk" in str(error):
        return f"the disk failed: {error}; what was written before is whole, so run the command again"
    return ""


@dataclass(slots=True)
class ProgressWatch:
    """Notices that a process and its children neither compute, read, write nor report for a time, as one blocked in C code."""

    pid: int
    patience_s: float
    _since: float = field(default_factory=time.monotonic)
    _used: tuple[float, int] = (0.0, 0)

    def note_event(self) -> None:
        """The process reported something."""
        self._since, self._used = time.monotonic(), self._usage()

    def is_stalled(self) -> bool:
        """Whether nothing has happened for `patience_s`."""
        elapsed = time.monotonic() - self._since
        if elapsed < self.patience_s:
            return False
        cpu_s, io_bytes = self._usage()
        idle = cpu_s - self._used[0] < CPU_SHARE * elapsed and io_bytes - self._used[1] < IO_BYTES
        self._since, self._used = time.monotonic(), (cpu_s, io_bytes)
        return idle

    def _usage(self) -> tuple[float, int]:
        """Seconds of processor time and bytes read and written, of the process and its children."""
        cpu_s, io_bytes = 0.0, 0
        try:
            process = psutil.Process(self.pid)
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                cpu_s += times.user + times.system
                counters = each.io_counters() if hasattr(each, "io_counters") else None
                io_bytes += (counters.read_chars + counters.write_chars) if counters else 0
        except psutil.Error:
            return cpu_s, io_bytes
        return cpu_s, io_bytes
