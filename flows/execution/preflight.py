"""What is known before a run starts: how much disk it needs, and limits of memory that are too small."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.parameters.run_request import RunRequest
from flows.runs import run_record
from flows.system import limits
from tasks.core.errors import UserError

LEAST_DISK_BYTES = 200_000_000
"""What a run needs for its code, logs and records, whatever its data."""
COPIES = 2
"""Outputs are in the cache and in the run's folder; the file system may share them, but need not."""
RAW_SHARE = 3
"""How many times the raw data a run writes, where no earlier run tells."""
SMALL_MEMORY_BYTES = 3_000_000_000
"""Address space below which libraries fail in ways of their own, or hang."""


def check(root: Path, request: RunRequest) -> list[str]:
    """Raise a `UserError` when the disk has less space than the run needs; returns warnings for people."""
    free, needed = limits.free_disk_bytes(root), needed_disk_bytes(root, request)
    if free < needed:
        raise UserError(
            f"the disk of {root} has {free / 1e9:.1f} GB free, and this run needs about {needed / 1e9:.1f} GB; "
            "`bonsai gc` removes old runs, `bonsai gc --dry-run` says how much that frees"
        )
    small = {name: size for name, size in limits.memory_limits().items() if size < SMALL_MEMORY_BYTES}
    return [f"memory is limited to {size / 1e9:.1f} GB by {name}; a stage may need more" for name, size in small.items()]


def needed_disk_bytes(root: Path, request: RunRequest) -> int:
    """About how many bytes a run writes: as the largest recent one of the same use cases, or by the size of the raw data."""
    sizes = [
        output_bytes(run.record) for run in run_record.recent_runs(root) if set(run.record["use_cases"]) >= set(request.use_cases)
    ]
    if not any(sizes):
        stanzas = request.values["use_cases"].values()
        paths = [root / Path(path) for stanza in stanzas if (path := (stanza.get("fetch") or {}).get("path"))]
        sizes = [RAW_SHARE * sum(map(size_of, paths))]
    return LEAST_DISK_BYTES + COPIES * max(sizes)


def output_bytes(record: Mapping[str, Any]) -> int:
    """The bytes of all outputs in a run's record."""
    outs = (out for entry in record["stages"].values() for out in (entry.get("outs") or {}).values())
    return sum(int(out.get("size") or 0) for out in outs)


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; 0 for what is not there, such as a pattern."""
    if path.is_file():
        return path.stat().st_size
    files = (Path(parent) / name for parent, _, names in os.walk(path) for name in names)
    return sum(file.stat().st_size for file in files if file.is_file())
