"""Bring the raw rows home, checked and whole."""

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
    """The raw rows in partitions of `fetch.partition_rows`, and a report of what came from where."""
    fetch: Fetch = context.case.fetch
    rows, columns, found = 0, dict[str, str](), Counter[str]()
    with context.raw.draft() as draft:
        table = Table(draft)
        for position, block in enumerate(repartition(_checked(context.case.load(), fetch.limit), fetch.partition_rows)):
            table.write(position, block)
            rows += len(block)
            found.update(block["file"].value_counts().to_dict())
            columns = columns or {str(name): str(kind) for name, kind in block.dtypes.items()}
            context.event_log.progress(rows, max(rows, fetch.limit), "rows")
        if not rows:
            raise UserError(f"{fetch.path or fetch.dataset or context.name} holds no rows; there is nothing to learn from")
        name_of, files = report_names(found), Counter[str]()
        for file, count in found.items():
            files[name_of[file]] += count
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
    context.event_log.log(f"{rows:,} raw rows of {len(found):,} files in {position + 1} partitions")


def _checked(blocks: Iterator[DataFrame], limit: int) -> Iterator[DataFrame]:
    """The blocks up to `limit` rows, each with the columns of the first: tables that differ are never silently joined."""
    columns: list[str] = []
    first, left = "", limit
    for block in blocks:
        if not len(block):
            continue
        columns, first = columns or list(block.columns), first or str(block["file"].iloc[0])
        if list(block.columns) != columns:
            strange = [str(name) for name in [*block.columns, *columns] if (name in columns) != (name in block.columns)]
            raise UserError(
                f"{block['file'].iloc[0]} and {first} differ in their columns ({', '.join(strange) or 'in their order'}); "
                "give every file the same columns"
            )
        yield block.head(left) if limit else block
        left -= len(block)
        if limit and left <= 0:
            return
