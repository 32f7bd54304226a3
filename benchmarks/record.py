"""Write benchmark results with machine, versions and counts, as JSON and Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tasks.core.hardware import cpu_model
from tasks.core.storage.atomic_files import write_bytes, write_json
from tasks.dask_cluster import available_cores

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "onnxruntime", "dvc", "prefect", "distributed", "numpy", "pandas")


def write(name: str, sentence: str, rows: Sequence[dict[str, Any]], **more: Any) -> None:
    """Write results/<name>.json and results/<name>.md: one sentence, one table, and where it was measured."""
    where = machine()
    write_json(RESULTS / f"{name}.json", {"benchmark": name, "sentence": sentence, "rows": list(rows), **more, "machine": where})
    text = [f"# {name}", "", sentence, "", *markdown(rows), "", f"Measured {where['measured_at']} on {described(where)}.", ""]
    write_bytes(RESULTS / f"{name}.md", "\n".join(text).encode())
    print("\n".join(text), flush=True)


def settings(path: Path) -> dict[str, Any]:
    """Dotted parameters and their values from a YAML file."""
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    return values


def markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of a table; numbers to four significant digits."""
    columns = list(rows[0]) if rows else []
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(_shown(row.get(column)) for column in columns) + " |" for row in rows]


def machine() -> dict[str, Any]:
    """The machine, versions and load that a figure was measured with."""
    code = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent, check=False
    )
    return {
        "cpu": cpu_model(),
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "code": code.stdout.strip() or "unknown",
        "load_average": round(os.getloadavg()[0], 2),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(where: dict[str, Any]) -> str:
    """A machine as text."""
    packages = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    return (
        f"{where['cpu']}, {where['cores']} cores, {where['memory_bytes'] / 2**30:.0f} GiB, Python {where['python']}, "
        f"{packages}, load average {where['load_average']}, code {where['code']}"
    )


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """Median, extremes and count."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "count": len(values)}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
