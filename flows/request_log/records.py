"""The format of the request log: where its files lie, its columns, and what is kept of a request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa

FOLDER = "monitoring"
"""The folder in the project that holds everything known about requests; git ignores it."""
REQUESTS, FEEDBACK = "requests", "feedback.jsonl"
Kept = Literal["inputs", "features", "none"]
"""What is kept of a request: its features and the input itself, its features only, or nothing at all."""
KEPT: tuple[Kept, ...] = get_args(Kept)

NUMBERS = pa.map_(pa.string(), pa.float64())
TEXTS = pa.map_(pa.string(), pa.string())
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("position", pa.int32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("model", pa.string()),
        ("status", pa.int16()),
        ("error", pa.string()),
        ("latency_ms", pa.float64()),
        ("share", pa.float64()),
        ("predicted", pa.string()),
        ("value", pa.float64()),
        ("confidence", pa.float64()),
        ("classes", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float32())),
        ("abstains", pa.string()),
        ("numbers", NUMBERS),
        ("categories", TEXTS),
        ("shadow_model", pa.string()),
        ("shadow_predicted", pa.string()),
        ("shadow_value", pa.float64()),
        ("shadow_confidence", pa.float64()),
        ("input", pa.binary()),
    ]
)
"""One row per input; a request that was refused as a whole has one row with `position` -1. docs/monitoring.md explains each."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What a server keeps of requests, and for how long."""

    keep: Kept = "features"
    share: float = 1.0
    """Share of the requests that are kept, 0..1, drawn at random."""
    max_bytes: int = 500_000_000
    """Of each use case; the oldest files are deleted beyond it."""
    flush_s: float = 5.0
    """Seconds after which waiting rows are written; a process that is killed loses those of this time."""
    flush_rows: int = 1000
    file_bytes: int = 20_000_000
    """Small files are merged into one until it has this size."""


def use_case_folder(root: Path, use_case: str) -> Path:
    """The folder with all that is known about the requests of a use case."""
    return root / FOLDER / use_case


def requests_folder(root: Path, use_case: str) -> Path:
    return use_case_folder(root, use_case) / REQUESTS


def segments(root: Path, use_case: str) -> list[Path]:
    """The files of the log, the oldest first: their names begin with the time of their first row."""
    return sorted(requests_folder(root, use_case).glob("[0-9]*.parquet"))
