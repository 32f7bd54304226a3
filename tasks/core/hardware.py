"""The processor of this machine."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_model() -> str:
    """The model name of the processor, as Linux reports it; elsewhere the processor or machine type."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
