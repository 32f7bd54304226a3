"""Separators, lines before the header and blanks after separators are found from the first lines of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import remarks, table_files


def read(tmp_path: Path, content: str | bytes, name: str = "my.csv", **options: Any) -> Any:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return pd.concat(list(table_files.read_table(path, **options)), ignore_index=True)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("price;name\n1,5;x\n2,5;y\n", "my.csv"),
        ("price\tname\n1,5\tx\n2,5\ty\n", "my.txt"),
        ("price|name\n1,5|x\n2,5|y\n", "my.csv"),
        ("sep=;\nprice;name\n1,5;x\n2,5;y\n", "my.csv"),
        ('"sep=|"\r\nprice|name\r\n1,5|x\r\n2,5|y\r\n', "my.csv"),
        ("\ufeffsep=\t\nprice\tname\n1,5\tx\n2,5\ty\n", "my.csv"),
        ('price, name\n"1,5", x\n"2,5", y\n', "my.csv"),
        ('name, price\nx, "1,5"\ny, "2,5"\n', "my.csv"),
        ("https://example.org\nprice;name\n1,5;x\n2,5;y\n", "my.csv"),
        ("price;name\r1,5;x\r2,5;y\r", "my.csv"),
        ("price,name\n'1,5',x\n".replace("'", '"') + '"2,5",y\n', "my.tsv"),
    ],
)
def test_a_table_has_the_same_cells_however_it_is_laid_out(tmp_path: Path, content: str, name: str) -> None:
    rows = read(tmp_path, content, name)
    assert [cell.strip() for cell in rows["price"]] == ["1,5", "2,5"]
    assert [cell.strip() for cell in rows["name"]] == ["x", "y"]


def test_lines_are_counted_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "sep=;\na;b\n1;2\n3;4\n")["row"].tolist() == [3, 4]
    assert read(tmp_path, "www.example.org\na,b\n1,2\n3,4\n")["row"].tolist() == [3, 4]


def test_what_was_found_goes_with_the_first_block(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("made by hand\na;b\n1;2\n3;4\n")
    (block,) = table_files.read_table(path)
    assert remarks.take(block) == [
        "my.csv: columns are split by semicolons",
        "my.csv: 1 line before the header left out ('made by hand')",
    ]


def test_a_separator_that_is_told_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "a;b,c\n1;2,3\n", separator=";")["b,c"].tolist() == ["2,3"]
    assert read(tmp_path, "a@b\n1@2\n", separator="@")["b"].tolist() == ["2"]
    assert read(tmp_path, "a\tb\n1\t2\n", separator="\\t")["b"].tolist() == ["2"]


def test_a_file_without_a_header_is_split_where_its_columns_fit(tmp_path: Path) -> None:
    rows = read(tmp_path, "20200101 170000;1,2;3\n20200101 170100;1,3;4\n", names=["time", "price", "volume"])
    assert rows["price"].tolist() == ["1,2", "1,3"]
    assert rows["row"].tolist() == [1, 2]


def test_one_column_is_one_column(tmp_path: Path) -> None:
    assert read(tmp_path, "text\na; b\nc\nd; e; f\n")["text"].tolist() == ["a; b", "c", "d; e; f"]


def test_a_first_line_that_is_no_preamble_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2 has 2 fields, expected 1"):
        read(tmp_path, "a\n1,2\n3,4\n")


def test_a_column_for_which_the_header_has_no_place_is_given_one(tmp_path: Path) -> None:
    rows = read(tmp_path, '"a","b"\n"1",5,x\n"2",6,y\n"3",7,z\n')
    assert rows[["unnamed 1", "a", "b"]].to_numpy().tolist() == [["1", "5", "x"], ["2", "6", "y"], ["3", "7", "z"]]
    rows = read(tmp_path, "a;b\n5;x;\n6;y;\n")
    assert rows[["a", "b", "unnamed 3"]].to_numpy().tolist() == [["5", "x", ""], ["6", "y", ""]]
    with pytest.raises(UserError, match="line 2 has 3 fields, expected 2"):
        read(tmp_path, "text,label\none, two,x\nthree, four,y\n")


def test_names_lose_blanks_around_them_and_a_column_without_one_gets_one(tmp_path: Path) -> None:
    rows = read(tmp_path, ", a ,b\n0,1,2\n1,3,4\n")
    assert list(rows.columns[:3]) == ["unnamed 1", "a", "b"]
    (chosen,) = table_files.read_table(tmp_path / "my.csv", [" b "])
    assert chosen["b"].tolist() == ["2", "4"]


def test_comments_before_the_header_are_left_out_whatever_is_in_them(tmp_path: Path) -> None:
    rows = read(tmp_path, "# made by hand, on a day, in spring\n# 2024\na,b\n1,2\n3,4\n")
    assert rows[["a", "b"]].to_numpy().tolist() == [["1", "2"], ["3", "4"]]
    assert list(read(tmp_path, "# made by hand\n#id,b\n1,2\n3,4\n"))[:2] == ["#id", "b"]
    assert list(read(tmp_path, "#,b\n1,2\n3,4\n"))[:2] == ["#", "b"]


def test_runs_of_blanks_split_columns_where_nothing_else_does(tmp_path: Path) -> None:
    rows = read(tmp_path, "price   name\n 1.5    x  \n12.25  y\n", "my.txt")
    assert rows[["price", "name"]].to_numpy().tolist() == [["1.5", "x"], ["12.25", "y"]]
    told = read(tmp_path, "1.5    x\n12.25  y\n", "my.data", separator=" ", names=("price", "name"))
    assert told[["price", "name"]].to_numpy().tolist() == [["1.5", "x"], ["12.25", "y"]]
    assert "two words" in read(tmp_path, "two words\nthree more words\nand 4\n", "my.txt")


def test_a_line_of_words_below_the_rows_is_in_doubt_and_elsewhere_an_error(tmp_path: Path) -> None:
    rows = read(tmp_path, "a,b,c\n1,2,3\n4,5,6\nTotal amount: 1234\n")
    assert rows["a"].tolist()[:2] == ["1", "4"]
    assert rows["doubt"].tolist() == ["", "", "footer: a line of one field below the rows: 'Total amount: 1234'"]
    with pytest.raises(UserError, match="line 3 has 1 field, expected 3"):
        read(tmp_path, "a,b,c\n1,2,3\nTotal\n4,5,6\n")
    with pytest.raises(UserError, match=r"line 3 has 2 fields, expected 3 .* is a value missing, or the line no row"):
        read(tmp_path, "a,b,c\n1,2,3\n4,5\n6,7,8\n")


def test_columns_that_are_called_like_those_of_the_reader_get_another_name(tmp_path: Path) -> None:
    rows = read(tmp_path, "file,row,text\nx,9,y\n")
    assert rows[["file (column)", "row (column)", "file", "row"]].to_numpy().tolist() == [["x", "9", "my.csv", 2]]
    assert read(tmp_path, "file,row,text\nx,9,y\n", columns=("row",))["row (column)"].tolist() == ["9"]
    pd.DataFrame({"row": [7], "text": ["y"]}).to_parquet(tmp_path / "my.parquet")
    (block,) = table_files.read_table(tmp_path / "my.parquet")
    assert block[["row (column)", "row"]].to_numpy().tolist() == [[7, 0]]


def test_a_header_in_the_middle_is_no_row(tmp_path: Path) -> None:
    rows = read(tmp_path, "text,label\na,x\ntext,label\nb,y\n")
    assert rows["doubt"].str.startswith("header: the names of the columns once more").tolist() == [False, True, False]
