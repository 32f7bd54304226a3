"""How busy the machine was during a run, as its runner measured it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.readers import project_files
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from flows.system import machine_usage

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_BYTES = 16_000_000
"""Some weeks of measuring."""


def of_run(run: Run) -> DataFrame:
    """The figures of the run, one row per measurement, with `seconds` since its start; empty where nothing was measured.

    The columns besides it are those of `flows.system.machine_usage.Meter.sample`. The frame is cached: do not modify it.
    """
    path = run.folder / machine_usage.FILE
    try:
        real = project_files.inside(run.root, path)
        stat = real.stat()
    except OSError:
        return _parsed(path, "", 0, 0)
    return _parsed(real, run.at, stat.st_mtime_ns, min(stat.st_size, MAX_BYTES))


@lru_cache(maxsize=32)
def _parsed(path: Path, start: str, _mtime_ns: int, size: int) -> DataFrame:
    import pandas as pd

    rows = []
    if size:
        with path.open("rb") as file:
            lines = file.read(size).splitlines()
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            seconds = formatting.seconds_between(start, row.pop("at", "")) if isinstance(row, dict) else None
            if seconds is not None:
                rows.append(
                    {"seconds": seconds, **{name: value for name, value in row.items() if isinstance(value, int | float)}}
                )
    return pd.DataFrame(rows)
