"""Write answers block by block: JSON Lines, CSV or parquet, by the name of the file. A file is only there when it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tasks.core.errors import UserError
from tasks.inference.released_model import to_records

if TYPE_CHECKING:
    from pandas import DataFrame

FORMATS = (".jsonl", ".csv", ".parquet")

WriteBlock = Callable[["DataFrame"], None]


@contextmanager
def open_answers(path: Path) -> Iterator[WriteBlock]:
    """A function that appends answers to the file `path`, which replaces an older one when the block ends without an error.

    Raises a `UserError` for a name with another ending, or in a folder that is not there.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path.name!r} has no known ending; name the file for answers *{', *'.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}; create it first")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    writer = {".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower(), _json_lines)
    try:
        with writer(partial) as write:
            yield write
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json_lines(answers: DataFrame, file: IO[str]) -> None:
    """One JSON object per answer."""
    for record in to_records(answers):
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


@contextmanager
def _json_lines(path: Path) -> Iterator[WriteBlock]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda answers: write_json_lines(answers, file)


@contextmanager
def _csv(path: Path) -> Iterator[WriteBlock]:
    """Probabilities are columns of their own, lists are joined by |."""
    with path.open("w", encoding="utf-8", newline="") as file:

        def write(answers: DataFrame) -> None:
            flat(answers).to_csv(file, index=False, header=file.tell() == 0)

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[WriteBlock]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None

    def write(answers: DataFrame) -> None:
        nonlocal writer
        table = pa.Table.from_pandas(flat(answers), preserve_index=False, schema=writer.schema if writer else None)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)

    try:
        yield write
        if writer is None:
            pq.write_table(pa.table({"file": pa.array([], pa.string()), "row": pa.array([], pa.int64())}), path)
    finally:
        if writer:
            writer.close()


def flat(answers: DataFrame) -> DataFrame:
    """The answers with file and row first, a column per class for the probabilities, and lists joined by |."""
    import numpy as np
    import pandas as pd

    front = answers[["file", "row"]]
    rest = answers.drop(columns=["file", "row", "classes", "probabilities"], errors="ignore")
    lists = [name for name in rest if rest[name].map(lambda value: isinstance(value, list)).any()]
    rest = rest.assign(**{name: rest[name].map(lambda value: "|".join(map(_text, value))) for name in lists})
    if "classes" not in answers or answers.empty:
        return pd.concat([front, rest], axis=1)
    names = [f"probability of {name}" for name in answers["classes"].iloc[0]]
    probabilities = pd.DataFrame(np.stack(answers["probabilities"].to_list()), columns=names, index=answers.index)
    return pd.concat([front, rest, probabilities], axis=1)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
