"""Make more train rows of the train rows, and a preview of what training will see."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq

from tasks.core.artifacts import Table
from tasks.core.atomic_files import write_json
from tasks.core.stage_context import StageContext
from tasks.core.use_case import UseCase
from tasks.dask_cluster import dask_client, map_on_cluster

if TYPE_CHECKING:
    from pandas import DataFrame

PREVIEW_ROWS = 512
"""Train rows among which a use case chooses those to preview."""


def main(context: StageContext) -> None:
    """From clean/rows to rows/part-* (variants only), preview/part-* and report.json."""
    case, seed, clean = context.case, context.case.training.seed, Table(context.clean.open() / "rows")
    parts = [part.resolve() for part in clean.parts()]
    with context.augmented.draft() as draft:
        rows, counts = Table(draft / "rows"), [0]
        rows.path.mkdir()
        if type(case).augment_rows is not UseCase.augment_rows:
            scratch = context.scratch.resolve()
            with dask_client(len(parts), __name__, type(case).__module__) as client:
                several = [[value] * len(parts) for value in (case, scratch, seed)]
                counts = map_on_cluster(
                    client, vary_part, several[0], parts, several[1], several[2], event_log=context.event_log, unit="partitions"
                )
            for position, made in enumerate(Table(scratch).parts()):
                shutil.move(made, rows.path / f"part-{position:05d}.parquet")
            shutil.rmtree(scratch)
        if not rows.parts():
            pq.write_table(pq.read_schema(parts[0]).remove_metadata().empty_table(), rows.path / "part-00000.parquet")
        preview = case.preview_augmentation(spread_sample(clean), seed)
        Table(draft / "preview").write(0, preview)
        write_json(draft / "report.json", {"variants": sum(counts), "preview": len(preview), "seed": seed})
    context.event_log.log(f"{sum(counts):,} variants kept as rows; {len(preview)} pictures or rows in the preview")


def spread_sample(clean: Table) -> DataFrame:
    """About `PREVIEW_ROWS` train rows from all over the data, which may be sorted."""
    share, some = -(-PREVIEW_ROWS // len(clean.parts())), []
    for frame in clean.partitions():
        train = frame[frame["split"] == "train"]
        some.append(train.iloc[:: max(1, len(train) // share)].head(share))
    return pd.concat(some, ignore_index=True)


def vary_part(case: UseCase, part: Path, scratch: Path, seed: int) -> int:
    """On a worker: the variants of one partition's train rows, checked like clean rows; how many there are."""
    clean = pd.read_parquet(part)
    variants = case.augment_rows(clean[clean["split"] == "train"].reset_index(drop=True), seed)
    if variants.empty:
        return 0
    assert list(variants.columns) == list(clean.columns), (
        f"augment_rows of {type(case).__name__} have other columns than its rows"
    )
    assert (variants["split"] == "train").all(), f"augment_rows of {type(case).__name__} left the train split"
    _check(case, variants[list(case.schema(variants).columns)])
    partial = scratch / f".{part.name}.partial"
    variants.to_parquet(partial, index=False, compression="zstd")
    partial.replace(scratch / part.name)
    return len(variants)


def _check(case: UseCase, rows: DataFrame) -> None:
    """Variants are made by our own code, so a fault in one is a fault in the code."""
    from pandera.errors import SchemaErrors

    said = ""
    try:
        case.schema(rows).validate(rows, lazy=True)
    except SchemaErrors as errors:
        first = errors.failure_cases.iloc[0]
        said = f"augment_rows of {type(case).__name__} break {first['check']} in {first['column']!r}: {first['failure_case']!r}"
    assert not said, said  # the error itself does not survive the way back from a worker
