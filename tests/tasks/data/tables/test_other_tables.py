"""Arrays in an .npz file and sheets of spreadsheets are tables too."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import remarks, table_files
from tasks.data.tables.other_tables import cell_text


def read(path: Path, *columns: str) -> Any:
    return pd.concat(list(table_files.read_table(path, columns)), ignore_index=True)


def test_arrays_of_one_length_are_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "my.npz", x=np.array([[1.0, 2.0], [3.0, 4.0]]), y=np.array(["a", "b"]))
    rows = read(tmp_path / "my.npz")
    assert rows[["x_0", "x_1", "y"]].to_numpy().tolist() == [[1.0, 2.0, "a"], [3.0, 4.0, "b"]]
    assert rows["row"].tolist() == [0, 1]
    assert list(read(tmp_path / "my.npz", "y").columns) == ["y", "file", "row"]


def test_arrays_that_make_no_table_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "my.npz", x=np.zeros(3), y=np.zeros(2))
    with pytest.raises(UserError, match=r"holds x \(3,\), y \(2,\); a table needs arrays of one length"):
        read(tmp_path / "my.npz")
    np.savez(tmp_path / "my.npz", x=np.zeros((3, 2, 2)))
    with pytest.raises(UserError, match="one or two dimensions"):
        read(tmp_path / "my.npz")
    np.savez(tmp_path / "my.npz", x=np.array([{}, {}], dtype=object))
    with pytest.raises(UserError, match="no whole npz file of plain arrays"):
        read(tmp_path / "my.npz")


def test_cells_of_a_sheet_are_the_text_that_csv_has() -> None:
    cells = [None, 3.0, 2.5, True, " x ", datetime(2021, 1, 4), datetime(2021, 1, 4, 9, 30), date(2021, 1, 5)]
    assert [cell_text(cell) for cell in cells] == ["", "3", "2.5", "True", "x", "2021-01-04", "2021-01-04 09:30:00", "2021-01-05"]


def test_the_first_sheet_with_rows_is_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.create_sheet("data")
    for row in (["date", "price", None], [datetime(2021, 1, 4), 2.5, None], [datetime(2021, 1, 5), None, None]):
        sheet.append(row)
    book.save(tmp_path / "my.xlsx")
    rows = read(tmp_path / "my.xlsx")
    assert rows[["date", "price"]].to_numpy().tolist() == [["2021-01-04", "2.5"], ["2021-01-05", ""]]
    assert rows["row"].tolist() == [2, 3]


def test_the_table_below_a_title_is_read_and_other_sheets_are_named(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active.append(["Prices of 2021"])
    sheet = book.create_sheet("Data")
    for row in (
        ["Loans of 2023"],
        ["as of", "2024-01-01"],
        [],
        ["age", "income", "job", "default"],
        [47, 1.5, "cook", "no"],
        [49, 2.5, "", None],
    ):
        sheet.append(row)
    book.save(tmp_path / "my.xlsx")
    blocks = list(table_files.read_table(tmp_path / "my.xlsx"))
    rows = pd.concat(blocks, ignore_index=True)
    assert rows[["age", "income", "job", "default"]].to_numpy().tolist() == [["47", "1.5", "cook", "no"], ["49", "2.5", "", ""]]
    assert rows["row"].tolist() == [5, 6]
    assert remarks.take(blocks[0]) == [
        "my.xlsx: sheet 'Data' is read, 'About' left out (save another sheet as a file of its own)",
        "my.xlsx: 2 rows before the header left out ('Loans of 2023')",
    ]


def test_arrays_of_splits_are_one_table_with_a_column_of_splits(tmp_path: Path) -> None:
    arrays = {"x_train": np.array([[1.0, 2.0], [3.0, 4.0]]), "y_train": np.array([[0], [1]])}
    np.savez(tmp_path / "my.npz", **arrays, x_test=np.array([[5.0, 6.0]]), y_test=np.array([[1]]))
    rows = read(tmp_path / "my.npz")
    assert rows[["x_0", "x_1", "y"]].to_numpy().tolist() == [[1, 2, 0], [3, 4, 1], [5, 6, 1]]
    assert rows["split"].tolist() == ["train", "train", "test"]


def test_arrays_of_one_split_are_no_splits(tmp_path: Path) -> None:
    np.savez(tmp_path / "my.npz", hours_of_training=np.array([1, 2]), y=np.array([0, 1]))
    assert list(read(tmp_path / "my.npz").columns) == ["hours_of_training", "y", "file", "row"]
