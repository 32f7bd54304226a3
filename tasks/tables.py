"""Strict readers of tables: CSV, JSONL and parquet in blocks, each row with the file and the row it was found at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts import Mistake
from tasks.sources import existing

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq


BLOCK_ROWS = 2500
MOST_FILES = 200
"""Files listed by name in a report; of more, their folders."""


def columns_of(path: Path) -> tuple[list[str], int]:
    """The column names and the number of rows of a parquet file."""
    file = _parquet(path)
    return list(file.schema_arrow.names), file.metadata.num_rows


def read_table(path: Path, columns: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
    """Blocks of a table's rows with the columns named (all if none), `file` and `row`."""
    row = 0
    for batch in _parquet(path).iter_batches(BLOCK_ROWS, columns=list(columns) or None):
        frame = batch.to_pandas()
        yield frame.assign(file=path.name, row=range(row, row + len(frame)))
        row += len(frame)


def _parquet(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(existing(path))
    except (pa.ArrowInvalid, OSError) as error:
        raise Mistake(f"{path} is not a whole parquet file: {' '.join(str(error).split())}") from None


def places(files: Iterable[str]) -> dict[str, str]:
    """The name each file is counted under: its own, or its folder's when there are too many files to read their names."""
    names = sorted(set(files))
    return {name: name if len(names) <= MOST_FILES else name.rpartition("/")[0] or "." for name in names}
