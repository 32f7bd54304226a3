"""Keep, mend or quarantine every row, drop duplicates, deal the splits, and account for all of it.

Partitions are judged and written by Dask workers; between the two passes this process settles what needs all rows at
once (duplicates, likeness, splits) on a light table without pictures: keys, labels, and where each row stands.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.compute import cluster, each
from tasks.contracts import Mistake, UseCase
from tasks.ledger import EXAMPLE_LENGTH, KEPT, SETTLED, account, refuse_dirt, refuse_missing_classes, settle
from tasks.split import row_keys
from tasks.workspace import Table, Workspace, write_json

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from pandera.pandas import DataFrameSchema


def main(work: Workspace) -> None:
    """From raw/part-* to rows/part-*, quarantine/part-* and ledger.json."""
    refuse_blind_validation()
    case, parts = work.case, [part.resolve() for part in Table(work.raw.open()).parts()]
    scratch = work.scratch.resolve()
    shutil.rmtree(scratch)
    (scratch / "quarantine").mkdir(parents=True)
    places = range(len(parts))
    with cluster(len(parts), __name__, type(case).__module__) as client, work.clean.draft() as draft:
        each(client, judge_part, [case] * len(parts), parts, places, [scratch] * len(parts), journal=work.journal, unit="judged")
        light = pd.concat([pd.read_parquet(scratch / f"light-{place:05d}.parquet") for place in places], ignore_index=True)
        settled = settle(case, light)
        for place, some in settled.groupby("part", sort=False):
            _write(some, scratch / f"settled-{place:05d}.parquet")
        each(client, deal_part, parts, places, [scratch] * len(parts), journal=work.journal, unit="dealt")
        kept, rejected = _kept_columns(scratch), _rejected_columns(parts[0])
        for passed in scratch.glob("*.parquet"):
            passed.unlink()  # so that what stays of a refused run is its quarantine
        ledger = account(case, settled)
        refuse_dirt(case.clean, settled, scratch / "quarantine")
        refuse_missing_classes(case, settled)
        for name, columns in (("rows", kept), ("quarantine", rejected)):
            _bring_home(scratch / name, draft / name, columns)
        write_json(draft / "ledger.json", ledger)
    shutil.rmtree(scratch)
    work.journal.table("ledger", [{key: value for key, value in ledger.items() if isinstance(value, int)}])
    work.journal.log(
        f"{ledger['rows_in']:,} rows in: {ledger['kept']:,} kept ({ledger['fixed']:,} mended), "
        f"{ledger['quarantined']:,} quarantined, {ledger['duplicates']:,} duplicates"
    )


def refuse_blind_validation() -> None:
    """pandera can be told to look at nothing; then nothing here would be true."""
    from pandera.config import get_config_context

    if not get_config_context().validation_enabled:
        raise Mistake("pandera is switched off (PANDERA_VALIDATION_ENABLED); unset it: no row can be vouched for without")


def judge_part(case: UseCase, part: Path, place: int, scratch: Path) -> None:
    """On a worker: verdicts of one partition to judged-* and what settling needs to light-*, in `scratch`."""
    raw = pd.read_parquet(part)
    judged = case.judge(raw)
    schema = case.schema(raw)
    columns = list(schema.columns)
    assert len(judged) == len(raw), f"judge of {type(case).__name__} gave {len(judged)} verdicts for {len(raw)} rows"
    judged = judged[[*columns, "fault", "fix"]].reset_index(drop=True)
    if "doubt" in raw:
        judged["fault"] = judged["fault"].where(judged["fault"] != "", raw["doubt"])
    good = judged["fault"] == ""
    faults = schema_faults(case, judged.loc[good, columns], schema)
    judged.loc[faults.index, "fault"] = faults
    good = judged["fault"] == ""
    judged = judged.assign(key="")
    judged.loc[good, "key"] = row_keys(judged[good], case.key)
    judged.insert(0, "file", raw["file"].to_numpy())
    judged.insert(1, "row", raw["row"].to_numpy())
    _write(judged, scratch / f"judged-{place:05d}.parquet")
    heavy = [name for name in columns if judged[name].map(type).eq(bytes).any()]
    _write(judged.drop(columns=heavy).assign(part=place), scratch / f"light-{place:05d}.parquet")


def schema_faults(case: UseCase, rows: DataFrame, schema: DataFrameSchema) -> Series:
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
            f"judge of {type(case).__name__} gave column {first['column']!r} against its Rows: "
            f"{first['check']}, got {first['failure_case']!r}"
        )
    said = [
        f"schema {column}: {check}, got {str(value)[:EXAMPLE_LENGTH]!r}"
        for column, check, value in zip(failures["column"], failures["check"], failures["failure_case"], strict=True)
    ]
    return pd.Series(said, index=failures["index"].astype(int)).groupby(level=0).first()


def deal_part(part: Path, place: int, scratch: Path) -> None:
    """On a worker: one partition's kept rows to rows/part-*, the others as they came to quarantine/part-*, in `scratch`."""
    judged = pd.read_parquet(scratch / f"judged-{place:05d}.parquet")
    settled = pd.read_parquet(scratch / f"settled-{place:05d}.parquet")
    kept = (settled["verdict"] == KEPT).to_numpy()
    rejected = pd.read_parquet(part)[~kept].assign(reason=settled.loc[~kept, "reason"])
    for name, frame in (("rows", kept_rows(judged, settled)), ("quarantine", rejected)):
        if len(frame):
            _write(frame.reset_index(drop=True), scratch / name / f"part-{place:05d}.parquet")


def kept_rows(judged: DataFrame, settled: DataFrame) -> DataFrame:
    """The rows that stay, with their split, all that was mended, and what they know of others."""
    kept = (settled["verdict"] == KEPT).to_numpy()
    added = [name for name in settled.columns if name not in (*SETTLED, *judged.columns)]
    rows = judged[kept].drop(columns=["fault", "key"]).assign(fix=settled.loc[kept, "fix"].to_numpy())
    return rows.join(settled.loc[kept, [*added, "split"]])


def _kept_columns(scratch: Path) -> pa.Schema:
    schema = pq.read_schema(scratch / "judged-00000.parquet").remove_metadata()
    return pa.schema([field for field in schema if field.name not in ("fault", "key")]).append(pa.field("split", pa.string()))


def _rejected_columns(part: Path) -> pa.Schema:
    return pq.read_schema(part).remove_metadata().append(pa.field("reason", pa.string()))


def _bring_home(scratch: Path, folder: Path, columns: pa.Schema) -> None:
    """Move what the workers wrote into the artifact, numbered without gaps; an empty table still has its columns."""
    folder.mkdir()
    for place, part in enumerate(Table(scratch).parts()):
        shutil.move(part, folder / f"part-{place:05d}.parquet")
    if not Table(folder).parts():
        pq.write_table(columns.empty_table(), folder / "part-00000.parquet", compression="zstd")


def _write(rows: DataFrame, path: Path) -> None:
    """Whole or not at all, since a worker may be killed, and its piece done again by another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    rows.to_parquet(partial, index=False, compression="zstd")
    partial.replace(path)
