"""Blocks of rows of parquet files. An index that pandas stored is a column like any other, and bytes are text.

Whatever a damaged file makes pyarrow raise becomes a `UserError` that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import UserError
from tasks.data.sources import existing_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pandas import DataFrame

BLOCK_BYTES = 64_000_000
UNNAMED_INDEX = "__index_level_"


def parquet_columns(path: Path) -> tuple[list[str], int]:
    """The column names and the number of rows of a parquet file."""
    file = open_parquet(path)
    with damage(path):
        return list(file.schema_arrow.names), file.metadata.num_rows
    raise AssertionError


def parquet_blocks(path: Path, columns: Sequence[str], block_rows: int, binary: Collection[str]) -> Iterator[DataFrame]:
    """Blocks of the file's rows. Columns of bytes that are not in `binary` are decoded as UTF-8."""
    file, row = open_parquet(path), 0
    with damage(path):
        names, rows = list(file.schema_arrow.names), file.metadata.num_rows
        size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
    if repeated := [name for place, name in enumerate(names) if name in names[:place]]:
        raise UserError(f"{path}: two columns are named {repeated[0]!r}; rename one")
    if not rows:
        raise UserError(f"{path} has columns ({', '.join(names)[:200]}) but no rows")
    batches = file.iter_batches(max(1, min(block_rows, BLOCK_BYTES * rows // max(1, size))), columns=list(columns) or None)
    while True:
        with damage(path, f"after row {row}"):
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
            frame = _as_text(path, row, batch, binary).to_pandas(ignore_metadata=True)
        yield frame
        row += len(frame)


def open_parquet(path: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    if existing_path(path).stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); expected a parquet file")
    with damage(path):
        # pre-buffering would keep every row group that was read in memory
        return pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    raise AssertionError


@contextmanager
def damage(path: Path, place: str = "") -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if place:
            raise UserError(f"{path}, {place}: {text}; the file is damaged") from None
        raise UserError(f"{path} is no whole parquet file: {text}") from None


def _as_text(path: Path, first: int, batch: pa.RecordBatch, binary: Collection[str]) -> pa.RecordBatch:
    """The batch with its columns of bytes as text."""
    import pyarrow as pa
    import pyarrow.types as types

    arrays = []
    for field, array in zip(batch.schema, batch.columns, strict=True):
        is_bytes = types.is_binary(field.type) or types.is_large_binary(field.type) or types.is_fixed_size_binary(field.type)
        if is_bytes and field.name not in binary:
            array = pa.array(
                [_decoded(path, first + place, field.name, value.as_py()) for place, value in enumerate(array)], pa.string()
            )
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _decoded(path: Path, row: int, name: str, value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path}, row {row}: the bytes of column {name!r} are not UTF-8; store it as text") from None
