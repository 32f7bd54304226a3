"""Identity, liveness and killing of the operating system's processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def identity(pid: int = 0) -> dict[str, Any]:
    """Identity of a process, of this one by default: its pid, start time, boot and host. A reused pid has another start time."""
    pid = pid or os.getpid()
    return {"pid": pid, "started": _start_time(pid), "boot": _boot_id(), "host": socket.gethostname()}


def is_alive(process: Mapping[str, Any] | None) -> bool:
    """Whether the process with that identity still runs; a process of another host counts as running."""
    if not process:
        return False
    if process.get("host") != socket.gethostname():
        return True
    return process.get("boot") == _boot_id() and process.get("started") == _start_time(int(process["pid"]))


def kill_group(process: Mapping[str, Any] | None, sig: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the process group that this process leads, if the process still runs on this host."""
    if process and process.get("host") == socket.gethostname() and is_alive(process):
        try:
            os.killpg(int(process["pid"]), sig)
        except ProcessLookupError:
            return


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))


def _start_time(pid: int) -> str:
    """Start time of the process, in a form that never changes while it runs; empty when there is no such process."""
    try:
        if sys.platform == "linux":
            # field 22 of proc(5), in clock ticks since boot; counted after the name, which may contain any character
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
        return str(psutil.Process(pid).create_time())
    except (OSError, psutil.Error):
        return ""
