"""Tables that are neither text nor parquet: a sheet of a spreadsheet (needs the extra `excel`), and arrays in an .npz file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame


def sheet_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of the first sheet with rows, each with its number from 1; values are the text that CSV would have."""
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
    width = 0
    for sheet in book.worksheets:
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            values = [cell_text(cell) for cell in cells]
            if any(values):
                width = width or max(place for place, value in enumerate(values, start=1) if value)
                if any(values[width:]):
                    raise UserError(f"{path}, row {number} of sheet {sheet.title!r} has more fields than the header, {width}")
                yield number, [*values[:width], *[""] * (width - len(values))]
        if width:
            break
    book.close()


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
    """Arrays of equal length as columns; an array (N, F) called `x` is the columns x_0, x_1 and on."""
    import numpy as np
    import pandas as pd

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:
        raise UserError(f"{path} is no whole npz file of plain arrays: {' '.join(str(error).split())[:200]}") from None
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())[:200]
        raise UserError(f"{path} holds {listed or 'no arrays'}; a table needs arrays of one length, a number per row")
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array.astype(str) if array.dtype.kind in "SU" else array
        elif array.ndim == 2:
            columns |= {f"{name}_{place}": array[:, place] for place in range(array.shape[1])}
        else:
            raise UserError(f"{path}: array {name!r} has the shape {array.shape}; a table needs one or two dimensions")
    return pd.DataFrame(columns)
