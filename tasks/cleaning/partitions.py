"""One partition of raw rows, cleaned and written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tasks.cleaning.deduplication import KEPT, OUTCOME_COLUMNS
from tasks.cleaning.quality_report import EXAMPLE_LENGTH
from tasks.core.splits import row_keys
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from pandera.pandas import DataFrameSchema


def clean_partition_file(case: UseCase, part: Path, place: int, scratch: Path) -> None:
    """On a worker: verdicts of one partition to cleaned-* and what settling needs to light-*, in `scratch`."""
    raw = pd.read_parquet(part)
    judged = case.clean_partition(raw)
    schema = case.schema(raw)
    columns = list(schema.columns)
    assert len(judged) == len(raw), f"clean_partition of {type(case).__name__} gave {len(judged)} verdicts for {len(raw)} rows"
    judged = judged[[*columns, "fault", "fix"]].reset_index(drop=True)
    if "doubt" in raw:
        judged["fault"] = judged["fault"].where(judged["fault"] != "", raw["doubt"])
    good = judged["fault"] == ""
    faults = schema_errors(case, judged.loc[good, columns], schema)
    judged.loc[faults.index, "fault"] = faults
    good = judged["fault"] == ""
    judged = judged.assign(key="")
    judged.loc[good, "key"] = row_keys(judged[good], case.unique_key)
    judged.insert(0, "file", raw["file"].to_numpy())
    judged.insert(1, "row", raw["row"].to_numpy())
    _write(judged, scratch / f"cleaned-{place:05d}.parquet")
    heavy = [name for name in columns if judged[name].map(type).eq(bytes).any()]
    _write(judged.drop(columns=heavy).assign(part=place), scratch / f"light-{place:05d}.parquet")


def schema_errors(case: UseCase, rows: DataFrame, schema: DataFrameSchema) -> Series:
    """What pandera has against each row, indexed like `rows`; rows without a fault are left out."""
    from pandera.errors import SchemaErrors

    failures = None
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        failures = errors.failure_cases  # the error itself does not survive the way back from a worker
    if failures is None:
        return pd.Series([], dtype=object)
    if (whole := failures["index"].isna()).any():
        first = failures[whole].sort_values("check", key=lambda checks: ~checks.astype(str).str.startswith("dtype")).iloc[0]
        raise TypeError(
            f"clean_partition of {type(case).__name__} gave column {first['column']!r} against its Schema: "
            f"{first['check']}, got {first['failure_case']!r}"
        )
    said = [
        f"schema {column}: {check}, got {str(value)[:EXAMPLE_LENGTH]!r}"
        for column, check, value in zip(failures["column"], failures["check"], failures["failure_case"], strict=True)
    ]
    return pd.Series(said, index=failures["index"].astype(int)).groupby(level=0).first()


def write_partition_outputs(part: Path, place: int, scratch: Path) -> None:
    """On a worker: one partition's kept rows to rows/part-*, the others as they came to quarantine/part-*, in `scratch`."""
    judged = pd.read_parquet(scratch / f"cleaned-{place:05d}.parquet")
    settled = pd.read_parquet(scratch / f"outcomes-{place:05d}.parquet")
    kept = (settled["verdict"] == KEPT).to_numpy()
    rejected = pd.read_parquet(part)[~kept].assign(reason=settled.loc[~kept, "reason"])
    for name, frame in (("rows", kept_rows(judged, settled)), ("quarantine", rejected)):
        if len(frame):
            _write(frame.reset_index(drop=True), scratch / name / f"part-{place:05d}.parquet")


def kept_rows(judged: DataFrame, settled: DataFrame) -> DataFrame:
    """The rows that stay, with their split, all that was mended, and what they know of others."""
    kept = (settled["verdict"] == KEPT).to_numpy()
    added = [name for name in settled.columns if name not in (*OUTCOME_COLUMNS, *judged.columns)]
    rows = judged[kept].drop(columns=["fault", "key"]).assign(fix=settled.loc[kept, "fix"].to_numpy())
    return rows.join(settled.loc[kept, [*added, "split"]])


def _write(rows: DataFrame, path: Path) -> None:
    """Whole or not at all, since a worker may be killed, and its piece done again by another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    rows.to_parquet(partial, index=False, compression="zstd")
    partial.replace(path)
