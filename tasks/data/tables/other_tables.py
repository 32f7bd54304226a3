"""Tables that are neither text nor parquet: a sheet of a spreadsheet (needs the extra `excel`), and arrays in an .npz file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import UserError
from tasks.data.splits_in_names import SPLIT_WORDS
from tasks.data.tables.csv_layout import MAX_RECORDS, MAX_SKIPPED

if TYPE_CHECKING:
    from pandas import DataFrame


def read_sheet(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """What is remarkable about a spreadsheet, and the rows of its first table, each with its number from 1.

    The table is the first sheet with two columns, else the first with rows. Rows of a title above its header are left out.
    Values are the text that CSV would have.
    """
    try:
        import openpyxl
    except ImportError:
        raise UserError(
            f"{path}: to read spreadsheets install openpyxl (pip install 'bonsai[excel]'), or save the sheet as CSV"
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:
        raise UserError(f"{path} is no whole spreadsheet: {' '.join(str(error).split())[:200]}; save the sheet as CSV") from None
    heads = {sheet.title: head for sheet in book.worksheets if (head := list(islice(_filled_rows(sheet), MAX_RECORDS)))}
    if not heads:
        book.close()
        return [], iter(())
    tables = [title for title, head in heads.items() if max(map(_width, head)) > 1]
    title = (tables or list(heads))[0]
    skipped = _rows_before_header(heads[title])
    remarks = []
    if len(heads) > 1:
        others = ", ".join(repr(name) for name in heads if name != title)[:200]
        remarks.append(f"sheet {title!r} is read, {others} left out (save another sheet as a file of its own)")
    if skipped:
        first = " ".join(filter(None, heads[title][0][1]))[:60]
        remarks.append(f"{skipped} row{'s' * (skipped > 1)} before the header left out ({first!r})")
    return remarks, _sheet_records(path, book, title, skipped)


def _sheet_records(path: Path, book: Any, title: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    width = 0
    for number, values in islice(_filled_rows(book[title]), skipped, None):
        width = width or _width((number, values))
        if any(values[width:]):
            raise UserError(f"{path}, row {number} of sheet {title!r} has more fields than the header, {width}")
        yield number, [*values[:width], *[""] * (width - len(values))]
    book.close()


def _filled_rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows of a sheet that are not empty, each with its number from 1."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        values = [cell_text(cell) for cell in cells]
        if any(values):
            yield number, values


def _width(row: tuple[int, list[str]]) -> int:
    """The number of the last filled cell of a row."""
    return max(place for place, value in enumerate(row[1], start=1) if value)


def _rows_before_header(head: Sequence[tuple[int, list[str]]]) -> int:
    """The number of rows at most half as wide as the table that stand before its header, a row of names without a gap."""
    widest = max(map(_width, head))
    for place, row in enumerate(head[:MAX_SKIPPED]):
        if _width(row) == widest:
            named = all(row[1][:widest]) and not any(value.replace(".", "", 1).isdigit() for value in row[1])
            return place if named else 0
        if 2 * _width(row) > widest:
            break
    return 0


def cell_text(value: Any) -> str:
    """A cell as CSV has it: dates as YYYY-MM-DD, whole numbers without a point, nothing for an empty cell."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def npz_table(path: Path) -> DataFrame:
    """Arrays of equal length as columns; an array (N, F) called `x` is the columns x_0, x_1 and on.

    Where the names of all arrays tell a split, as in x_train and x_test, its rows are below each other, with the column `split`.
    """
    import numpy as np
    import pandas as pd

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:
        raise UserError(f"{path} is no whole npz file of plain arrays: {' '.join(str(error).split())[:200]}") from None
    parts: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        split, rest = _split_of_array(name)
        parts.setdefault(split, {})[rest] = array
    if "" in parts or "train" not in parts or len({tuple(sorted(part)) for part in parts.values()}) > 1:
        return pd.DataFrame(_columns_of(path, arrays))
    tables = [pd.DataFrame(_columns_of(path, part)).assign(split=split) for split, part in parts.items()]
    return pd.concat(tables, ignore_index=True)


def _split_of_array(name: str) -> tuple[str, str]:
    """The word for a split in the name of an array, and the name without it: x_train is (train, x)."""
    words = name.split("_")
    splits = [word for word in words if word.lower() in SPLIT_WORDS]
    return (splits[0].lower(), "_".join(word for word in words if word != splits[0])) if len(splits) == 1 else ("", name)


def _columns_of(path: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of arrays of equal length, by name."""
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())[:200]
        raise UserError(f"{path} holds {listed or 'no arrays'}; a table needs arrays of one length, a number per row")
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array.astype(str) if array.dtype.kind in "SU" else array
        elif array.ndim == 2 and array.shape[1] == 1:
            columns[name] = array[:, 0]
        elif array.ndim == 2:
            columns |= {f"{name}_{place}": array[:, place] for place in range(array.shape[1])}
        else:
            raise UserError(f"{path}: array {name!r} has the shape {array.shape}; a table needs one or two dimensions")
    return columns
