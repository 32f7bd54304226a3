"""Processes of this machine: who they are, whether they live, how they are ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    pass


def identity(pid: int = 0) -> dict[str, Any]:
    """What tells a process, this one by default, from any other, later ones with the same number included."""
    pid = pid or os.getpid()
    return {"pid": pid, "started": _start_time(pid), "boot": _boot_id(), "host": socket.gethostname()}


def is_alive(process: Mapping[str, Any] | None) -> bool:
    """Whether the process with that identity still runs; one of another host is taken to be."""
    if not process:
        return False
    if process.get("host") != socket.gethostname():
        return True
    return process.get("boot") == _boot_id() and process.get("started") == _start_time(int(process["pid"]))


def kill_group(process: Mapping[str, Any] | None, sig: signal.Signals = signal.SIGKILL) -> None:
    """End the process group that the process leads, if it is still that process."""
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
    """When the process began, in a form that stays the same while it lives; empty if there is none."""
    try:
        if sys.platform == "linux":
            # after the name in parentheses, which may hold anything: field 22 of proc(5), clock ticks since boot
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
        return str(psutil.Process(pid).create_time())
    except (OSError, psutil.Error):
        return ""
