"""Read or download the raw rows, verify their checksums, and write them in partitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.core.artifacts import Table
from tasks.core.atomic_files import write_json
from tasks.core.errors import UserError
from tasks.core.stage_context import StageContext
from tasks.dask_cluster import repartition
from tasks.data.table_files import report_names

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.settings import Fetch


def main(context: StageContext) -> None:
    """Write raw/part-* with `fetch.partition_rows` rows each, and report.json with the number of rows of each file."""
    fetch: Fetch = context.case.fetch
    rows, columns, rows_by_file = 0, dict[str, str](), Counter[str]()
    with context.raw.draft() as draft:
        table = Table(draft)
        for position, block in enumerate(repartition(_limited(context.case.load(), fetch.limit), fetch.partition_rows)):
            table.write(position, block)
            rows += len(block)
            rows_by_file.update(block["file"].value_counts().to_dict())
            columns = columns or {str(name): str(kind) for name, kind in block.dtypes.items()}
            context.event_log.progress(rows, max(rows, fetch.limit), "rows")
        if not rows:
            raise UserError(f"{fetch.path or fetch.dataset or context.name} holds no rows; there is nothing to learn from")
        names, files = report_names(rows_by_file), Counter[str]()
        for file, count in rows_by_file.items():
            files[names[file]] += count
        report = {
            "rows": rows,
            "partitions": position + 1,
            "columns": columns,
            "source": fetch.source,
            "dataset": fetch.dataset,
            "path": fetch.path,
            "files": dict(sorted(files.items())),
        }
        write_json(draft / "report.json", report)
    context.event_log.log(f"{rows:,} raw rows of {len(rows_by_file):,} files in {position + 1} partitions")


def _limited(blocks: Iterator[DataFrame], limit: int) -> Iterator[DataFrame]:
    """The first `limit` rows of the blocks, all if 0. Raises a `UserError` when the columns of two blocks differ."""
    columns: list[str] = []
    first_file, remaining = "", limit
    for block in blocks:
        if not len(block):
            continue
        columns, first_file = columns or list(block.columns), first_file or str(block["file"].iloc[0])
        if list(block.columns) != columns:
            different = [str(name) for name in [*block.columns, *columns] if (name in columns) != (name in block.columns)]
            raise UserError(
                f"{block['file'].iloc[0]} and {first_file} differ in their columns ({', '.join(different) or 'in their order'}); "
                "give every file the same columns"
            )
        yield block.head(remaining) if limit else block
        remaining -= len(block)
        if limit and remaining <= 0:
            return
