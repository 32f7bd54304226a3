"""What a Dask worker does with one partition: clean and validate its rows, then write those kept and those quarantined.

Files in the scratch folder, by partition number: `cleaned-*` (all rows, all columns), `light-*` (the same without columns
of bytes), `outcomes-*` (what `deduplicate_and_split` decided), `rows/part-*` and `quarantine/part-*` (the results).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tasks.cleaning import corrections
from tasks.cleaning.deduplication import KEPT, OUTCOME_COLUMNS
from tasks.cleaning.quality_report import EXAMPLE_LENGTH
from tasks.core.splits import UNLABELLED, row_keys
from tasks.core.storage.atomic_files import write_parquet
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from pandera.pandas import DataFrameSchema


def clean_partition_file(case: UseCase, path: Path, number: int, scratch: Path) -> None:
    """Clean the raw rows at `path` and write `cleaned-*` and `light-*`."""
    raw, decisions = corrections.apply(case, pd.read_parquet(path))
    rows = case.clean_partition(raw)
    schema = case.schema(raw)
    columns = list(schema.columns)
    assert len(rows) == len(raw), f"clean_partition of {type(case).__name__} returned {len(rows)} rows for {len(raw)} raw rows"
    rows = rows[[*columns, "fault", "fix"]].reset_index(drop=True)
    if "doubt" in raw:
        rows["fault"] = rows["fault"].where(rows["fault"] != "", raw["doubt"])
    rows = corrections.mark(rows, decisions)
    valid = rows["fault"] == ""
    errors = schema_errors(case, rows.loc[valid, columns], schema)
    rows.loc[errors.index, "fault"] = errors
    valid = rows["fault"] == ""
    rows = rows.assign(key="")
    rows.loc[valid, "key"] = row_keys(rows[valid], case.unique_key)
    rows.insert(0, "file", raw["file"].to_numpy())
    rows.insert(1, "row", raw["row"].to_numpy())
    if UNLABELLED in raw:
        rows[UNLABELLED] = raw[UNLABELLED].to_numpy()
    write_parquet(scratch / f"cleaned-{number:05d}.parquet", rows)
    bytes_columns = [name for name in columns if rows[name].map(type).eq(bytes).any()]
    write_parquet(scratch / f"light-{number:05d}.parquet", rows.drop(columns=bytes_columns).assign(part=number))


def schema_errors(case: UseCase, rows: DataFrame, schema: DataFrameSchema) -> Series:
    """The first failed check of each invalid row, indexed like `rows`; valid rows are left out.

    Raises a `TypeError` when a column as a whole fails, such as one of the wrong type: an error of the use case's code.
    """
    from pandera.errors import SchemaErrors

    if not len(rows):
        return pd.Series([], dtype=object)  # columns without values have no type
    failures = None
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        failures = errors.failure_cases  # the exception itself cannot be pickled back from a worker
    if failures is None:
        return pd.Series([], dtype=object)
    if (column_wide := failures["index"].isna()).any():
        ordered = failures[column_wide].sort_values("check", key=lambda checks: ~checks.astype(str).str.startswith("dtype"))
        first = ordered.iloc[0]
        raise TypeError(
            f"clean_partition of {type(case).__name__} returned column {first['column']!r} against its Schema: "
            f"{first['check']}, got {first['failure_case']!r}"
        )
    messages = [
        f"schema {column}: {check}, got {str(value)[:EXAMPLE_LENGTH]!r}"
        for column, check, value in zip(failures["column"], failures["check"], failures["failure_case"], strict=True)
    ]
    return pd.Series(messages, index=failures["index"].astype(int)).groupby(level=0).first()


def write_partition_outputs(path: Path, number: int, scratch: Path) -> None:
    """Write the kept rows to `rows/part-*` and the rejected raw rows, with their reason, to `quarantine/part-*`."""
    cleaned = pd.read_parquet(scratch / f"cleaned-{number:05d}.parquet")
    outcomes = pd.read_parquet(scratch / f"outcomes-{number:05d}.parquet")
    kept = (outcomes["verdict"] == KEPT).to_numpy()
    rejected = pd.read_parquet(path)[~kept].assign(reason=outcomes.loc[~kept, "reason"])
    for name, frame in (("rows", kept_rows(cleaned, outcomes)), ("quarantine", rejected)):
        if len(frame):
            write_parquet(scratch / name / f"part-{number:05d}.parquet", frame.reset_index(drop=True))


def kept_rows(cleaned: DataFrame, outcomes: DataFrame) -> DataFrame:
    """The rows that are kept, with their split, all their repairs, and the columns that `clean_table` added."""
    kept = (outcomes["verdict"] == KEPT).to_numpy()
    added = [name for name in outcomes.columns if name not in (*OUTCOME_COLUMNS, *cleaned.columns)]
    rows = (
        cleaned[kept].drop(columns=["fault", "key", UNLABELLED], errors="ignore").assign(fix=outcomes.loc[kept, "fix"].to_numpy())
    )
    for name in [name for name in outcomes.columns if name in cleaned.columns and name not in (*OUTCOME_COLUMNS, UNLABELLED)]:
        rows[name] = outcomes.loc[kept, name].to_numpy()  # the label, which may be that of merged rare classes
    return rows.join(outcomes.loc[kept, [*added, "split"]])
