"""Generate augmented variants of the train rows, and a preview of the augmentation for people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq

from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Table
from tasks.core.storage.atomic_files import write_json, write_parquet
from tasks.core.use_case import UseCase
from tasks.dask_cluster import client_for_rows, map_on_cluster

if TYPE_CHECKING:
    from pandas import DataFrame

PREVIEW_ROWS = 512
"""Train rows from which a use case chooses those to preview."""


def main(context: StageContext) -> None:
    """Write rows/part-* (variants only), preview/part-* and report.json from clean/rows."""
    case, seed, clean = context.case, context.case.training.seed, Table(context.clean.open() / "rows")
    partitions = [path.resolve() for path in clean.parts()]
    with context.augmented.draft() as draft:
        rows, counts = Table(draft / "rows"), [0]
        rows.path.mkdir()
        if type(case).augment_rows is not UseCase.augment_rows:
            scratch = context.scratch.resolve()
            cases, scratches, seeds = ([value] * len(partitions) for value in (case, scratch, seed))
            total = sum(pq.read_metadata(path).num_rows for path in partitions)
            with client_for_rows(total, len(partitions), __name__, type(case).__module__) as client:
                counts = map_on_cluster(
                    client, augment_partition, cases, partitions, scratches, seeds, event_log=context.event_log, unit="partitions"
                )
            for position, path in enumerate(Table(scratch).parts()):
                shutil.move(path, rows.path / f"part-{position:05d}.parquet")
            shutil.rmtree(scratch)
        if not rows.parts():
            pq.write_table(pq.read_schema(partitions[0]).remove_metadata().empty_table(), rows.path / "part-00000.parquet")
        preview = case.preview_augmentation(sample_train_rows(clean), seed)
        Table(draft / "preview").write(0, preview)
        write_json(draft / "report.json", {"variants": sum(counts), "preview": len(preview), "seed": seed})
    context.event_log.log(f"{sum(counts):,} variants written as rows; {len(preview)} rows in the preview")


def sample_train_rows(clean: Table) -> DataFrame:
    """About `PREVIEW_ROWS` train rows, the same number from each partition, because the data may be sorted."""
    per_partition = -(-PREVIEW_ROWS // len(clean.parts()))
    samples = []
    for frame in clean.partitions():
        train = frame[frame["split"] == "train"]
        samples.append(train.iloc[:: max(1, len(train) // per_partition)].head(per_partition))
    return pd.concat(samples, ignore_index=True)


def augment_partition(case: UseCase, path: Path, scratch: Path, seed: int) -> int:
    """On a Dask worker: write the variants of one partition's train rows to `scratch`, and return how many there are."""
    clean = pd.read_parquet(path)
    variants = case.augment_rows(clean[clean["split"] == "train"].reset_index(drop=True), seed)
    if variants.empty:
        return 0
    assert list(variants.columns) == list(clean.columns), (
        f"augment_rows of {type(case).__name__} have other columns than its rows"
    )
    assert (variants["split"] == "train").all(), f"augment_rows of {type(case).__name__} left the train split"
    _validate(case, variants[list(case.schema(variants).columns)])
    write_parquet(scratch / path.name, variants)
    return len(variants)


def _validate(case: UseCase, rows: DataFrame) -> None:
    """Raise an `AssertionError` for variants that violate the schema: that is an error of the use case's code."""
    from pandera.errors import SchemaErrors

    message = ""
    try:
        case.schema(rows).validate(rows, lazy=True)
    except SchemaErrors as errors:
        first = errors.failure_cases.iloc[0]
        message = (
            f"augment_rows of {type(case).__name__} break {first['check']} in {first['column']!r}: {first['failure_case']!r}"
        )
    assert not message, message  # the exception itself cannot be pickled back from a worker
