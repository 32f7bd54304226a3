"""Strict readers of CSV, JSON Lines and parquet, in blocks of rows, each row with its file and line.

Values of text files stay text; the use case converts them. An invalid file raises a `UserError` that names the file, the
line and the column, and none of its rows is used.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pandas as pd

from tasks.core.errors import UserError
from tasks.data.sources import existing_path

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BLOCK_ROWS = 2500
BLOCK_BYTES = 64_000_000
MAX_LISTED_FILES = 200
"""The most files that a report lists by name. With more files it lists folders."""
MAX_LINE_BYTES = 16_000_000
SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
UNSUPPORTED = {
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "save the sheet as CSV"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), "unpack it and name the table in it"),
    ".json": "write one object per line and call it .jsonl",
}
CUT_SHORT = "cut-short: the file does not end with a line break, so its last line may not be whole"


def read_table(
    path: Path,
    columns: Sequence[str] = (),
    *,
    separator: str = "",
    names: Sequence[str] = (),
    quotes: bool = True,
    file_name: str = "",
) -> Iterator[pd.DataFrame]:
    """Blocks of a table's rows, with the given columns (all if none), `file` and `row`; CSV and JSON Lines also with `doubt`.

    `row` is the line where a row begins, from 1; in parquet it is the row's position, from 0. `doubt` is empty, or the reason
    why a row may be incomplete: the clean stage quarantines it. `separator` is a comma by default, for .tsv a tab. `names`
    are the columns of a file without a header. Without `quotes` a quotation mark is an ordinary character. `file_name` is
    the value of `file`, by default the file's own name.
    """
    place, file_name = existing_path(path), file_name or path.name
    kind = _kind(place)
    if kind == ".parquet":
        yield from _parquet_blocks(place, columns, file_name)
        return
    if place.stat().st_size == 0:
        raise UserError(f"{place} is empty (0 bytes); expected a table")
    with _decompressed(place) as file:
        lines = _Lines(file, place)
        if kind in JSON_LINES:
            records = _json_records(lines, place, columns)
        else:
            records = _csv_records(lines, place, columns, separator or SEPARATORS.get(kind, ","), names, quotes)
        header = next(records)[1]
        count = 0
        for block in _blocks(records):
            frame = pd.DataFrame([values for _, values in block], columns=header, dtype="str")
            reasons = [""] * (len(block) - 1) + [CUT_SHORT if lines.is_incomplete and kind not in JSON_LINES else ""]
            yield frame.assign(file=file_name, row=[line for line, _ in block], doubt=pd.array(reasons, dtype="str"))
            count += len(frame)
    if not count:
        raise UserError(f"{place} has a header ({', '.join(header)[:200]}) but no rows")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file, compressed or not, without line breaks, each with its number from 1."""
    place = existing_path(path)
    if place.stat().st_size == 0:
        raise UserError(f"{place} is empty (0 bytes); expected lines of text")
    with _decompressed(place) as file:
        lines = _Lines(file, place)
        for line in lines:
            yield lines.number, line.rstrip("\r\n")


def parquet_columns(path: Path) -> tuple[list[str], int]:
    """The column names and the number of rows of a parquet file."""
    file = _parquet(path)
    return list(file.schema_arrow.names), file.metadata.num_rows


def report_names(files: Iterable[str]) -> dict[str, str]:
    """The name under which each file is counted: its own, or its folder's when there are more than `MAX_LISTED_FILES`."""
    names = sorted(set(files))
    return {name: name if len(names) <= MAX_LISTED_FILES else name.rpartition("/")[0] or "." for name in names}


def check_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise a `UserError` for the first of `columns` that is not in `names`, with the nearest name."""
    for column in columns:
        if column not in names:
            near = get_close_matches(column, names, n=1) or [name for name in names if name.lower() == column.lower()]
            hint = f"did you mean {near[0]!r}? " if near else ""
            has = ", ".join(name if len(name) <= 40 else name[:40] + "…" for name in names)
            raise UserError(f"{path} has no column {column!r}; {hint}It has {has}")


class _Lines:
    """The lines of a file as text. Raises a `UserError` with line and byte for content that is not UTF-8."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path = file, path
        self.number = 0
        self.is_incomplete = False
        """Whether the line read last ends with neither a line break nor a closing quotation mark."""

    def __iter__(self) -> Iterator[str]:
        offset = 0
        while line := self._next():
            self.number += 1
            if self.number == 1:
                if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise UserError(f"{self.path} is encoded as UTF-16; save it as UTF-8")
                if line.startswith(b"\xef\xbb\xbf"):
                    line, offset = line[3:], 3
            if b"\0" in line:
                raise UserError(f"{self.path}, line {self.number}: byte {offset + line.index(0):,} is zero; this is no text")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{self.path}, line {self.number}: byte {offset + error.start:,} ({line[error.start]:#04x}) is not UTF-8; "
                    "save the file as UTF-8 (it may be Latin-1 or Windows-1252)"
                ) from None
            self.is_incomplete = not line.endswith((b"\n", b'"'))
            yield text
            offset += len(line)

    def _next(self) -> bytes:
        try:
            line = self.file.readline(MAX_LINE_BYTES + 1)
        except EOFError:
            raise UserError(f"{self.path} is cut short: its compressed data ends early; fetch or copy it again") from None
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, OSError) as error:
            raise UserError(f"{self.path} is damaged: {' '.join(str(error).split())}; fetch or copy it again") from None
        if len(line) > MAX_LINE_BYTES:
            raise UserError(f"{self.path}, line {self.number + 1} is longer than {MAX_LINE_BYTES:,} bytes; is this a table?")
        return line


Record = tuple[int, list[Any]]
"""The line where a row begins, and its values."""


def _csv_records(
    lines: _Lines, path: Path, columns: Sequence[str], separator: str, names: Sequence[str], quotes: bool
) -> Iterator[Record]:
    """The header, then the rows, with the chosen columns only."""
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE, strict=True)
    header, next_line = list(names), 1
    chosen: list[int] | None = None
    try:
        for values in reader:
            line, next_line = next_line, lines.number + 1
            if not values:
                continue  # a blank line
            if chosen is None:
                first = values
                header = header or first
                _check_header(path, header, separator, first)
                check_columns(path, header, columns)
                chosen = [header.index(name) for name in columns] if columns else list(range(len(header)))
                yield 0, [header[position] for position in chosen]
                if not names:
                    continue
            if len(values) != len(header):
                short = "; the file may be cut short" if lines.is_incomplete and len(values) < len(header) else ""
                raise UserError(
                    f"{path}, line {line} has {len(values)} field{'s' * (len(values) != 1)}, expected {len(header)} "
                    f"({', '.join(header)[:200]}){short or '; is a value with a separator in it not in quotes?'}"
                )
            yield line, [values[position] for position in chosen]
    except csv.Error as error:
        message = "a quotation mark is never closed" if "unexpected end of data" in str(error) else str(error)
        hint = "" if not quotes else "; double the quotation marks inside a value, or read the file without quotes"
        raise UserError(f"{path}, line {next_line}: {message}{hint}") from None
    if chosen is None:
        raise UserError(f"{path} holds blank lines only; expected a table")


def _check_header(path: Path, header: Sequence[str], separator: str, first: Sequence[str]) -> None:
    if len(first) == 1 and len(header) <= 1:
        others = {mark: first[0].count(mark) for mark in (",", ";", "\t", "|") if mark != separator}
        mark = max(others, key=lambda mark: others[mark])
        if others[mark]:
            raise UserError(
                f"{path} has one column when split at {separator!r}: {first[0][:80]!r}; it seems to be split at {mark!r}"
            )
    for position, name in enumerate(header, start=1):
        if not name.strip():
            raise UserError(f"{path}: column {position} of the header has no name")
        if name in header[: position - 1]:
            raise UserError(f"{path}: two columns of the header are named {name!r}; rename one")
    for name in ("file", "row", "doubt"):
        if name in header:
            raise UserError(f"{path}: a column named {name!r} would hide where rows were found; rename it")


def _json_records(lines: _Lines, path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """The header, then the rows. Numbers keep the text they were written as; nested values stay JSON."""
    header: list[str] = []
    for text in lines:
        if not text.strip():
            continue
        try:
            record = json.loads(text.rstrip(), parse_float=str, parse_int=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            place = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            short = "; the file may be cut short" if lines.is_incomplete else ""
            raise UserError(f"{path}, line {lines.number}{place} is not JSON: {getattr(error, 'msg', error)}{short}") from None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {lines.number}: expected one object per line, {{…}}, got {text.strip()[:40]!r}")
        if not header:
            check_columns(path, list(record), columns)
            header = list(columns) or list(record)
            _check_header(path, header, ",", header)
            yield 0, header
        unknown = [] if columns else [name for name in record if name not in header]
        if unknown:
            raise UserError(
                f"{path}, line {lines.number} has {unknown[0]!r}, which the first line has not ({', '.join(header)[:200]})"
            )
        yield lines.number, [_text(record.get(name), name, text) for name in header]
    if not header:
        raise UserError(f"{path} holds blank lines only; expected one JSON object per line")


def _text(value: Any, name: str, line: str) -> str | None:
    """A value as the text it was written as; a nested value as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(json.loads(line)[name] if isinstance(value, (dict, list)) else value, ensure_ascii=False)


def _blocks(records: Iterator[Record]) -> Iterator[list[Record]]:
    block: list[Record] = []
    for record in records:
        block.append(record)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if block:
        yield block


def _kind(path: Path) -> str:
    """The suffix of a file without that of its compression. A file with an unknown suffix is read as CSV."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the table in it")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = bool(suffixes) and suffixes[-1] in COMPRESSED
    kind = suffixes[-1 - compressed] if len(suffixes) > compressed else ""
    if kind in UNSUPPORTED:
        raise UserError(f"{path} is not read as it is; {UNSUPPORTED[kind]}")
    return kind


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    opener = COMPRESSED.get(path.suffix.lower(), open)
    with cast(IO[bytes], opener(path, "rb")) as file:
        yield file


def _parquet_blocks(path: Path, columns: Sequence[str], file_name: str) -> Iterator[pd.DataFrame]:
    import pyarrow as pa

    file, row = _parquet(path), 0
    check_columns(path, file.schema_arrow.names, columns)
    if not file.metadata.num_rows:
        raise UserError(f"{path} has columns ({', '.join(file.schema_arrow.names)[:200]}) but no rows")
    try:
        size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES * file.metadata.num_rows // max(1, size)))
        for batch in file.iter_batches(rows, columns=list(columns) or None):
            frame = batch.to_pandas()
            yield frame.assign(file=file_name, row=range(row, row + len(frame)))
            row += len(frame)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}, after row {row}: {' '.join(str(error).split())}; the file is damaged") from None


def _parquet(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if existing_path(path).stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); expected a parquet file")
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # or else every row group that was read stays in memory
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no whole parquet file: {' '.join(str(error).split())[:200]}") from None
