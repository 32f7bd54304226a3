"""Code version and machine of a run, for its record."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from tasks.core.hardware import cpu_model


def code_version(root: Path) -> dict[str, Any]:
    """Git commit of the project, and whether tasks/, dvc.yaml or params.yaml differ from it; empty without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=normal", "--", "tasks", "dvc.yaml", "params.yaml")
    except (OSError, subprocess.SubprocessError):
        return {"commit": "", "dirty": None}
    return {"commit": commit, "dirty": bool(changed)}


def machine_info() -> dict[str, Any]:
    """Host, operating system, CPU, memory, and versions of Python and the most important packages."""
    versions = {}
    for name in ("torch", "onnxruntime", "dvc", "prefect"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "versions": versions,
    }
