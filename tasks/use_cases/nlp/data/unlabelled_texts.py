"""Read texts to predict: tables without a label, and files with one text per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import sources, table_files
from tasks.use_cases.nlp.data.datasets import COLUMN_SEPARATOR, TABLE_SUFFIXES, TEXT_COLUMNS, TableLayout

TEXT_SUFFIX = ".txt"
OWN_COLUMNS = ("file", "row", "doubt")
"""The columns that the reader of tables adds."""


def read_path(path: Path, layout: TableLayout) -> Iterator[pd.DataFrame]:
    """Blocks of texts, with `text`, `file` and `row`, of a file, or of all tables and .txt files of a folder."""
    path = sources.existing_path(path)
    files = [path] if path.is_file() else [each for each in sources.list_files(path) if _is_read(each)]
    if not files:
        raise UserError(
            f"{path} holds no texts; expected {TEXT_SUFFIX} files with one text per line, or {', '.join(TABLE_SUFFIXES)}"
        )
    for file in files:
        yield from _lines(file) if file.suffix.lower() == TEXT_SUFFIX else _table(file, layout)


def _is_read(path: Path) -> bool:
    return path.suffix.lower() == TEXT_SUFFIX or bool(set(path.suffixes) & set(TABLE_SUFFIXES))


def _lines(path: Path) -> Iterator[pd.DataFrame]:
    """The lines of a file that are not blank; bytes that are not UTF-8 become U+FFFD, which cleaning rejects."""
    lines: list[tuple[str, str, int]] = []
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                lines.append((line.rstrip("\r\n"), path.name, number))
            if len(lines) == table_files.BLOCK_ROWS:
                yield pd.DataFrame(lines, columns=["text", "file", "row"])
                lines = []
    if lines:
        yield pd.DataFrame(lines, columns=["text", "file", "row"])


def _table(path: Path, layout: TableLayout) -> Iterator[pd.DataFrame]:
    """The columns of `layout.text` joined, or the first one with a usual name, or the only one."""
    for block in table_files.read_table(path, separator=layout.separator, names=layout.names, quotes=layout.quotes):
        names = [str(name) for name in block.columns if name not in OWN_COLUMNS]
        usual = [name for alias in TEXT_COLUMNS for name in names if name.lower() == alias]
        columns = list(layout.text) or usual[:1] or (names if len(names) == 1 else [])
        if not columns:
            raise UserError(
                f"{path} has no column {', '.join(TEXT_COLUMNS[:4])}; it has {', '.join(names)[:200]}: name one in fetch.text"
            )
        table_files.check_columns(path, names, columns)
        cells = block[columns].fillna("").astype(str)
        texts = [COLUMN_SEPARATOR.join(part for part in row if part) for row in cells.itertuples(index=False, name=None)]
        yield pd.DataFrame({"text": texts, "file": block["file"], "row": block["row"]})
