"""Strict readers of CSV, JSON Lines, parquet, spreadsheets and npz, in blocks of rows, each row with its file and line.

Values of text files stay text; the use case converts them. An invalid file raises a `UserError` that names the file, the
line and the column, and none of its rows is used. What was found out about a file goes with its first block (`remarks`).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import remarks
from tasks.data.sources import existing_path
from tasks.data.tables import byte_kinds
from tasks.data.tables.columns import ORIGIN_COLUMNS, UNNAMED, check_columns, checked_header, unreserved
from tasks.data.tables.csv_layout import CsvLayout, find_layout
from tasks.data.tables.json_lines import Nested, json_records
from tasks.data.tables.other_tables import npz_table, read_sheet
from tasks.data.tables.parquet_files import UNNAMED_INDEX, parquet_blocks, parquet_columns
from tasks.data.tables.text_lines import MAX_LINE_BYTES, TextLines, decompressed, packed_name

__all__ = ["NESTED", "check_columns", "parquet_columns", "read_lines", "read_table", "report_names", "unreserved"]

BLOCK_ROWS = 2500
MAX_LISTED_FILES = 200
"""The most files that a report lists by name. With more files it lists folders."""
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
SPREADSHEETS = (".xlsx", ".xlsm")
SPELLED = {"\\t": "\t", "tab": "\t"}
"""Separators that cannot be typed."""
UNSUPPORTED = {
    **dict.fromkeys((".xls", ".ods"), "save the sheet as CSV or .xlsx"),
    **dict.fromkeys((".tar", ".tgz", ".7z", ".rar", ".zst"), "unpack it and name the table in it"),
}
HEADER_AGAIN = "header: the names of the columns once more, as where files were joined"
MAX_FOOTER_LINES = 3
FOOTER = "footer: a line of one field below the rows: {!r}"
CUT_SHORT = "cut-short: the file does not end with a line break, so its last line may not be whole"
NESTED = "nested"
"""The entry of a block's `attrs` with the columns that hold lists or objects, and the lines of these."""


def read_table(
    path: Path,
    columns: Sequence[str] = (),
    *,
    separator: str = "",
    names: Sequence[str] = (),
    quotes: bool = True,
    file_name: str = "",
    encoding: str = "",
    binary: Collection[str] = (),
) -> Iterator[pd.DataFrame]:
    """Blocks of a table's rows, with the given columns (all if none), `file` and `row`; CSV and JSON Lines also with `doubt`.

    `row` is the line where a row begins, from 1; in parquet and npz it is the row's position, from 0. `doubt` is empty, or the
    reason why a row may be incomplete: the clean stage quarantines it. An empty `separator` is found; without one that fits it
    is a comma, for .tsv a tab. `names` are the columns of a file without a header. Without `quotes` a quotation mark is an
    ordinary character. `file_name` is the value of `file`, by default the file's own name. `encoding` is UTF-8 by default.
    Columns of bytes are text, except for those in `binary`.
    """
    place, file_name = existing_path(path), file_name or path.name
    separator = SPELLED.get(separator, separator)
    kind = _kind(place)
    if kind in (".parquet", ".pq", ".npz"):
        row = 0
        whole = kind == ".npz"
        for frame in [_chosen(place, npz_table(place), columns)] if whole else _parquet(place, columns, binary):
            frame = frame.rename(columns={name: unreserved(name) for name in ORIGIN_COLUMNS})
            yield frame.assign(file=file_name, row=range(row, row + len(frame)))
            row += len(frame)
        return
    if place.stat().st_size == 0:
        raise UserError(f"{place} is empty (0 bytes); expected a table")
    if kind in SPREADSHEETS:
        notes, records = read_sheet(place)
        blocks = _frames(_sheet(place, records, columns), place, file_name)
        yield from remarks.attach(blocks, [f"{file_name}: {text}" for text in notes])
        return
    with decompressed(place) as file:
        lines = TextLines(file, place, encoding)
        if kind in JSON_SUFFIXES:
            yield from _frames(json_records(lines, place, columns), place, file_name)
            return
        head = lines.head()
        if head and byte_kinds.is_page(head[0]):
            raise UserError(f"{place} is a page of the web or XML, no table of text; export its table as CSV")
        if byte_kinds.is_arff(head):
            raise UserError(f"{place} is an ARFF file (Weka); save it as CSV, with the names of its attributes in the first line")
        layout = find_layout(head, SEPARATORS.get(kind, ","), separator, len(names))
        detected = [*["lines end in carriage returns alone"] * lines.mac, *[f"read as {lines.encoding}"] * bool(lines.encoding)]
        blocks = _frames(_csv_records(lines, place, columns, layout, names, quotes), place, file_name)
        yield from remarks.attach(blocks, [f"{file_name}: {text}" for text in (*detected, *layout.remarks)])


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file, compressed or not, without line breaks, each with its number from 1."""
    place = existing_path(path)
    if place.stat().st_size == 0:
        raise UserError(f"{place} is empty (0 bytes); expected lines of text")
    with decompressed(place) as file:
        lines = TextLines(file, place)
        for line in lines:
            yield lines.number, line.rstrip("\r\n")


def report_names(files: Iterable[str]) -> dict[str, str]:
    """The name under which each file is counted: its own, or its folder's when there are more than `MAX_LISTED_FILES`."""
    names = sorted(set(files))
    return {name: name if len(names) <= MAX_LISTED_FILES else name.rpartition("/")[0] or "." for name in names}


Record = tuple[int, list[Any], str]
"""The line where a row begins, its values, and why the row may be wrong (empty if it is sure)."""


def _csv_records(
    lines: TextLines, path: Path, columns: Sequence[str], layout: CsvLayout, names: Sequence[str], quotes: bool
) -> Iterator[Record]:
    """The header, then the rows, with the chosen columns only."""
    csv.field_size_limit(MAX_LINE_BYTES)
    source = iter(lines)
    for _ in range(layout.skipped):
        next(source, "")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    if layout.separator == " ":
        source = (line.rstrip(" \r\n") + "\n" for line in source)
    reader = csv.reader(source, delimiter=layout.separator, quoting=quoting, strict=True, skipinitialspace=layout.spaced)
    header, next_line = list(names), 1 + layout.skipped
    chosen: list[int] | None = None
    first = list[str]()
    held: Record | None = None
    footer: list[Record] = []
    try:
        for values in reader:
            line, next_line = next_line, lines.number + 1
            if not values:
                continue  # a blank line
            if chosen is None:
                first, header = values, header or values
                _check_one_column(path, header, layout.separator, values)
                if layout.unnamed:
                    header = [*header[: layout.unnamed - 1], "", *header[layout.unnamed - 1 :]]
                header = checked_header(path, header)
                columns = [unreserved(name.strip()) for name in columns]
                check_columns(path, header, columns)
                chosen = [header.index(name) for name in columns] if columns else list(range(len(header)))
                yield 0, [header[position] for position in chosen], ""
                if not names:
                    continue
            if _is_footer(values, header, complete=not lines.is_incomplete) and len(footer) < MAX_FOOTER_LINES:
                footer.append((line, [*values, *[""] * (len(header) - 1)], FOOTER.format(values[0][:60])))
                continue
            if footer:  # rows follow: it is none
                line, values = footer[0][0], footer[0][1][:1]
            if len(values) != len(header):
                raise UserError(_wrong_width(path, line, values, header, complete=not lines.is_incomplete))
            if held:
                yield held
            again = values == first and not names
            held = line, [values[position] for position in chosen], HEADER_AGAIN if again else ""
    except csv.Error as error:
        message = "a quotation mark is never closed" if "unexpected end of data" in str(error) else str(error)
        hint = "" if not quotes else "; double the quotation marks inside a value, or read the file without quotes"
        raise UserError(f"{path}, line {next_line}: {message}{hint}") from None
    if chosen is None:
        raise UserError(f"{path} holds blank lines only; expected a table")
    if held:
        yield held[0], held[1], CUT_SHORT if lines.is_incomplete and not footer else held[2]
    for line, values, doubt in footer:
        yield line, [values[position] for position in chosen], doubt


def _is_footer(values: Sequence[str], header: Sequence[str], *, complete: bool) -> bool:
    """Whether a line may stand below the rows: one field of words, where rows have three or more."""
    return complete and len(values) == 1 and len(header) > 2 and any(mark.isalpha() for mark in values[0])


def _wrong_width(path: Path, line: int, values: Sequence[str], header: Sequence[str], *, complete: bool) -> str:
    """A message about a row with more or fewer fields than the header."""
    few = len(values) < len(header)
    why = "is a value with a separator in it not in quotes?"
    if few:
        why = "is a value missing, or the line no row?" if complete else "the file may be cut short"
    fields = f"{len(values)} field{'s' * (len(values) != 1)}"
    return f"{path}, line {line} has {fields}, expected {len(header)} ({', '.join(header)[:200]}); {why}"


def _check_one_column(path: Path, header: Sequence[str], separator: str, first: Sequence[str]) -> None:
    if len(first) == 1 and len(header) <= 1:
        others = {mark: first[0].count(mark) for mark in (",", ";", "\t", "|") if mark != separator}
        mark = max(others, key=lambda mark: others[mark])
        if others[mark]:
            raise UserError(
                f"{path} has one column when split at {separator!r}: {first[0][:80]!r}; it seems to be split at {mark!r}"
            )


def _sheet(path: Path, records: Iterator[tuple[int, list[str]]], columns: Sequence[str]) -> Iterator[Record]:
    header = checked_header(path, next(records, (0, [""]))[1])
    check_columns(path, header, columns)
    chosen = [header.index(name) for name in columns or header]
    yield 0, [header[position] for position in chosen], ""
    for line, values in records:
        yield line, [values[position] for position in chosen], ""


def _frames(records: Iterator[Record], path: Path, file_name: str) -> Iterator[pd.DataFrame]:
    """Blocks of records, the first of which is the header."""
    header = next(records)[1]
    count = 0
    for block in _blocks(records):
        frame = pd.DataFrame([values for _, values, _ in block], columns=header, dtype="str")
        reasons = pd.array([doubt for _, _, doubt in block], dtype="str")
        frame = frame.assign(file=file_name, row=[line for line, _, _ in block], doubt=reasons)
        nested: dict[str, list[int]] = {}
        for line, values, _ in block:
            for name, value in zip(header, values, strict=True):
                if isinstance(value, Nested):
                    nested.setdefault(name, []).append(line)
        if nested:
            frame.attrs[NESTED] = nested
        yield frame
        count += len(frame)
    if not count:
        raise UserError(f"{path} has a header ({', '.join(header)[:200]}) but no rows")


def _blocks(records: Iterator[Record]) -> Iterator[list[Record]]:
    block: list[Record] = []
    for record in records:
        block.append(record)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if block:
        yield block


def _parquet(path: Path, columns: Sequence[str], binary: Collection[str]) -> Iterator[pd.DataFrame]:
    names, _ = parquet_columns(path)
    check_columns(path, names, columns)
    for frame in parquet_blocks(path, columns, BLOCK_ROWS, binary):
        unnamed = [name for name in frame if str(name).startswith(UNNAMED_INDEX)]
        yield frame.rename(columns={name: f"{UNNAMED}index {place}" for place, name in enumerate(unnamed, start=1)})


def _chosen(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    check_columns(path, [str(name) for name in table], columns)
    return table[list(columns)] if columns else table


def _kind(path: Path) -> str:
    """The suffix of a file without that of its compression. A file with an unknown suffix is read as CSV."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the table in it")
    kind = Path(packed_name(path)).suffix.lower() if path.suffix else ""
    if kind in UNSUPPORTED:
        raise UserError(f"{path} is not read as it is; {UNSUPPORTED[kind]}")
    if kind in (".parquet", ".pq", ".npz", *SPREADSHEETS) and packed_name(path) != path.name:
        raise UserError(f"{path} holds a {kind} file; unpack it")
    return kind
