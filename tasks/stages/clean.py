"""Validate and repair the raw rows, quarantine invalid ones, drop duplicates, assign splits, and count every row.

Dask workers clean the partitions and write the results. Between the two passes this process decides what needs all rows at
once (duplicates, near-duplicates, splits) on a light table: all rows, without columns of bytes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.cleaning import corrections
from tasks.cleaning.deduplication import KEPT, deduplicate_and_split, fault_outcomes
from tasks.cleaning.partitions import clean_partition_file, write_partition_outputs
from tasks.cleaning.quality_report import build_quality_report, check_classes, check_reject_share, check_splits
from tasks.core.errors import UserError
from tasks.core.splits import UNLABELLED
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Table
from tasks.core.storage.atomic_files import write_json, write_parquet
from tasks.core.use_case import UseCase
from tasks.dask_cluster import client_for_rows, map_on_cluster


def main(context: StageContext) -> None:
    """Write rows/part-*, quarantine/part-* and ledger.json from raw/part-*."""
    check_validation_is_enabled()
    case, partitions = context.case, [path.resolve() for path in Table(context.raw.open()).parts()]
    scratch = context.scratch.resolve()
    shutil.rmtree(scratch)
    (scratch / "quarantine").mkdir(parents=True)
    numbers, scratches = range(len(partitions)), [scratch] * len(partitions)
    raw_rows = sum(pq.read_metadata(path).num_rows for path in partitions)
    with (
        client_for_rows(raw_rows, len(partitions), __name__, type(case).__module__) as client,
        context.clean.draft() as draft,
    ):
        cases = [case] * len(partitions)
        map_on_cluster(
            client, clean_partition_file, cases, partitions, numbers, scratches, event_log=context.event_log, unit="cleaned"
        )
        light = pd.concat([pd.read_parquet(scratch / f"light-{number:05d}.parquet") for number in numbers], ignore_index=True)
        outcomes, error = _outcomes(case, light)
        for number, rows in outcomes.groupby("part", sort=False):
            write_parquet(scratch / f"outcomes-{number:05d}.parquet", rows)
        map_on_cluster(
            client, write_partition_outputs, partitions, numbers, scratches, event_log=context.event_log, unit="written"
        )
        kept_columns, rejected_columns = _kept_columns(scratch), _rejected_columns(partitions[0])
        for path in scratch.glob("*.parquet"):
            path.unlink()  # when a check below fails, only the quarantine remains for inspection
        report = build_quality_report(case, outcomes)
        findings = case.findings(light[(outcomes["verdict"] == KEPT).to_numpy()].reset_index(drop=True)) if not error else []
        report |= {"findings": findings} if findings else {}
        applied = corrections.count(case, outcomes)
        report |= {"corrections": applied} if applied else {}
        check_reject_share(case.clean, outcomes, scratch / "quarantine")
        if error:
            raise error
        check_splits(case, outcomes)
        check_classes(case, outcomes)
        for name, columns in (("rows", kept_columns), ("quarantine", rejected_columns)):
            _move_partitions(scratch / name, draft / name, columns)
        write_json(draft / "ledger.json", report)
    shutil.rmtree(scratch)
    context.event_log.table("ledger", [{key: value for key, value in report.items() if isinstance(value, int)}])
    context.event_log.log(
        f"{report['rows_in']:,} rows in: {report['kept']:,} kept ({report['fixed']:,} repaired), "
        f"{report['quarantined']:,} quarantined, {report['duplicates']:,} duplicates"
    )
    if rare := report.get("rare_classes"):
        listed = ", ".join(f"{name} ({count})" for name, count in list(rare.items())[:5]) + " …" * (len(rare) > 5)
        context.event_log.log(
            f"{len(rare)} class{'es' * (len(rare) != 1)} with too few rows for every split left out: {listed}; "
            "clean.rare_classes=merge or keep goes another way",
            "warning",
        )
    if official := report.get("official_test"):
        lost = official["rows"] - official["kept"]
        context.event_log.log(
            f"the source's own test split: {official['kept']:,} of {official['rows']:,} rows are kept, "
            f"{official['repeats']:,} of them repeat another one" + "; look at the others in quarantine/" * (lost > 0),
            "warning" if lost else "info",
        )
    if applied:
        counts = ", ".join(f"{count:,} {name}" for name, count in applied.items())
        context.event_log.log(f"corrections: {counts}", "warning" if applied[corrections.NOT_APPLIED] else "info")
    for finding in findings:
        context.event_log.log(finding, "warning")


def _outcomes(case: UseCase, light: pd.DataFrame) -> tuple[pd.DataFrame, UserError | None]:
    """The outcome of every row; where splits cannot be assigned, the faults alone, and why.

    If most rows are invalid, such as dates in a form that is not read, that is what the user has to know.
    """
    try:
        return deduplicate_and_split(case, light), None
    except UserError as error:
        return fault_outcomes(case, light), error


def check_validation_is_enabled() -> None:
    """Raise a `UserError` when pandera is configured to validate nothing."""
    from pandera.config import get_config_context

    if not get_config_context().validation_enabled:
        raise UserError("pandera is switched off (PANDERA_VALIDATION_ENABLED); unset it: no row can be validated without it")


def _kept_columns(scratch: Path) -> pa.Schema:
    schema = pq.read_schema(scratch / "cleaned-00000.parquet").remove_metadata()
    return pa.schema([field for field in schema if field.name not in ("fault", "key", UNLABELLED)]).append(
        pa.field("split", pa.string())
    )


def _rejected_columns(partition: Path) -> pa.Schema:
    return pq.read_schema(partition).remove_metadata().append(pa.field("reason", pa.string()))


def _move_partitions(source: Path, target: Path, columns: pa.Schema) -> None:
    """Move the workers' files into the artifact, numbered without gaps. An empty table is written with its columns."""
    target.mkdir()
    for number, path in enumerate(Table(source).parts()):
        shutil.move(path, target / f"part-{number:05d}.parquet")
    if not Table(target).parts():
        pq.write_table(columns.empty_table(), target / "part-00000.parquet", compression="zstd")
