"""Read or download the raw rows, verify their checksums, and write them in partitions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from tasks.core.errors import UserError
from tasks.core.splits import SPLITS, UNLABELLED
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Table
from tasks.core.storage.atomic_files import write_json
from tasks.dask_cluster import repartition
from tasks.data import remarks
from tasks.data.table_files import report_names

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.settings import Fetch
    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import UseCase

_WHOLE = re.compile(r"^(-?\d+)\.0+$")
MAX_NAMED = 4
"""The most groups of classes that a sentence names."""
MAX_CLASSES = 1000
"""With more different labels a label is hardly a class."""


def main(context: StageContext) -> None:
    """Write raw/part-* with `fetch.partition_rows` rows each, and report.json with the number of rows of each file."""
    fetch: Fetch = context.case.fetch
    rows, unlabelled, columns, rows_by_file = 0, 0, dict[str, str](), Counter[str]()
    notes, rows_by_class = list[str](), Counter[tuple[str, str]]()
    with context.raw.draft() as draft:
        table = Table(draft)
        blocks = _all_rows(context.case, notes, context.event_log)
        for position, block in enumerate(repartition(blocks, fetch.partition_rows)):
            table.write(position, block)
            labelled = block[~block[UNLABELLED]] if UNLABELLED in block else block
            rows_by_class.update(_subsets_and_classes(context.case, labelled))
            unlabelled += len(block) - len(labelled)
            rows += len(block)
            rows_by_file.update(block["file"].value_counts().to_dict())
            columns = columns or {str(name): str(kind) for name, kind in block.dtypes.items()}
            context.event_log.progress(rows, max(rows, fetch.limit), "rows")
        if not rows:
            raise UserError(f"{fetch.path or fetch.dataset or context.name} holds no rows; there is nothing to learn from")
        names, files = report_names(rows_by_file), Counter[str]()
        for file, count in rows_by_file.items():
            files[names[file]] += count
        for place, text in enumerate(filter(None, (_summary(rows_by_class), _case_variants(rows_by_class)))):
            notes.insert(place, text)
            context.event_log.log(text)
        report = {
            "rows": rows,
            "partitions": position + 1,
            "columns": columns,
            "source": fetch.source,
            "dataset": fetch.dataset,
            "path": fetch.path,
            "files": dict(sorted(files.items())),
            "remarks": notes,
            **({UNLABELLED: unlabelled} if unlabelled else {}),
        }
        write_json(draft / "report.json", report)
    context.event_log.log(f"{rows:,} raw rows of {len(rows_by_file):,} files in {position + 1} partitions")


def _noted(blocks: Iterator[DataFrame], notes: list[str], event_log: EventLog) -> Iterator[DataFrame]:
    """The blocks, after the sentences that they carry were logged and appended to `notes`."""
    for block in blocks:
        for text in remarks.take(block):
            if text not in notes:
                notes.append(text)
                event_log.log(text)
        yield block


def _subsets_and_classes(case: UseCase, block: DataFrame) -> list[tuple[str, str]]:
    """The split that the source names, and the class, of each row; empty where the rows have none."""
    subsets = list(block["subset"].astype(str)) if "subset" in block else [""] * len(block)
    column = case.problem.label_column
    classes = list(block[column].astype(str)) if column and column in block else [""] * len(block)
    classes = [_WHOLE.sub(r"\1", name.strip()) for name in classes]
    return list(zip(subsets, classes, strict=True))


def _summary(rows_by_class: Counter[tuple[str, str]]) -> str:
    """What the source holds, as "5 classes, own splits train 80, test 40"; empty for rows without classes and splits."""
    classes = {name for _, name in rows_by_class if name}
    by_split = Counter[str]()
    for (subset, _), count in rows_by_class.items():
        by_split[subset] += count
    named = {split: by_split[split] for split in SPLITS if by_split[split]}
    parts = []
    if 0 < len(classes) <= MAX_CLASSES:
        parts.append(f"{len(classes)} class{'es' * (len(classes) != 1)}")
    if named:
        parts.append("own splits " + ", ".join(f"{split} {count:,}" for split, count in named.items()))
        parts += [f"{by_split['']:,} rows in no split"] if by_split[""] else []
    elif classes:
        parts.append("no splits of its own")
    return ", ".join(parts)


def _case_variants(rows_by_class: Counter[tuple[str, str]]) -> str:
    """A sentence on classes that differ in capitals and small letters only; empty if there are none."""
    spellings: dict[str, set[str]] = {}
    for _, name in rows_by_class:
        spellings.setdefault(name.casefold(), set()).add(name)
    several = [sorted(names) for names in spellings.values() if len(names) > 1]
    if not several or len(spellings) > MAX_CLASSES:
        return ""
    listed = "; ".join(", ".join(f"`{name}`" for name in names) for names in several[:MAX_NAMED])
    return f"classes {listed} differ in case only, and are classes of their own; write them alike to join them"


def _all_rows(case: UseCase, notes: list[str], event_log: EventLog) -> Iterator[DataFrame]:
    """The labelled rows, and after them those without a label if there are any; then the column `UNLABELLED` tells them apart."""
    labelled = _limited(_noted(case.load(), notes, event_log), case.fetch.limit)
    others = _noted(case.load_teaching_rows(), notes, event_log)
    first = next(others, None)
    if first is None:
        yield from labelled
        return
    marked = (block.assign(**{UNLABELLED: False}) for block in labelled)
    yield from _limited(chain(marked, (block.assign(**{UNLABELLED: True}) for block in chain([first], others))), 0)


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
