"""Keep, mend or quarantine every row, drop duplicates, deal the splits, and account for all of it.

Partitions are judged and written by Dask workers; between the two passes this process settles what needs all rows at
once (duplicates, duplicate_group, splits) on a light table without pictures: keys, labels, and where each row stands.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.cleaning.partitions import _write, clean_partition_file, write_partition_outputs
from tasks.cleaning.quality_report import build_quality_report, check_classes, check_reject_share
from tasks.core.artifacts import Table
from tasks.core.atomic_files import write_json
from tasks.core.errors import UserError
from tasks.core.stage_context import StageContext
from tasks.dask_cluster import dask_client, map_on_cluster

if TYPE_CHECKING:
    pass


def main(context: StageContext) -> None:
    """From raw/part-* to rows/part-*, quarantine/part-* and ledger.json."""
    refuse_blind_validation()
    case, parts = context.case, [part.resolve() for part in Table(context.raw.open()).parts()]
    scratch = context.scratch.resolve()
    shutil.rmtree(scratch)
    (scratch / "quarantine").mkdir(parents=True)
    places = range(len(parts))
    with dask_client(len(parts), __name__, type(case).__module__) as client, context.clean.draft() as draft:
        map_on_cluster(
            client,
            clean_partition_file,
            [case] * len(parts),
            parts,
            places,
            [scratch] * len(parts),
            event_log=context.event_log,
            unit="judged",
        )
        light = pd.concat([pd.read_parquet(scratch / f"light-{place:05d}.parquet") for place in places], ignore_index=True)
        settled = deduplicate_and_split(case, light)
        for place, some in settled.groupby("part", sort=False):
            _write(some, scratch / f"outcomes-{place:05d}.parquet")
        map_on_cluster(
            client, write_partition_outputs, parts, places, [scratch] * len(parts), event_log=context.event_log, unit="dealt"
        )
        kept, rejected = _kept_columns(scratch), _rejected_columns(parts[0])
        for passed in scratch.glob("*.parquet"):
            passed.unlink()  # so that what stays of a refused run is its quarantine
        ledger = build_quality_report(case, settled)
        check_reject_share(case.clean, settled, scratch / "quarantine")
        check_classes(case, settled)
        for name, columns in (("rows", kept), ("quarantine", rejected)):
            _bring_home(scratch / name, draft / name, columns)
        write_json(draft / "ledger.json", ledger)
    shutil.rmtree(scratch)
    context.event_log.table("ledger", [{key: value for key, value in ledger.items() if isinstance(value, int)}])
    context.event_log.log(
        f"{ledger['rows_in']:,} rows in: {ledger['kept']:,} kept ({ledger['fixed']:,} mended), "
        f"{ledger['quarantined']:,} quarantined, {ledger['duplicates']:,} duplicates"
    )


def refuse_blind_validation() -> None:
    """pandera can be told to look at nothing; then nothing here would be true."""
    from pandera.config import get_config_context

    if not get_config_context().validation_enabled:
        raise UserError("pandera is switched off (PANDERA_VALIDATION_ENABLED); unset it: no row can be vouched for without")


def _kept_columns(scratch: Path) -> pa.Schema:
    schema = pq.read_schema(scratch / "cleaned-00000.parquet").remove_metadata()
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
