"""A file that is no UTF-8 text is named for what it is, or by the encoding in which it looks like text."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import table_files

SENTENCES = {
    "gb18030": "今天的天气很好，我们一起去公园散步吧",
    "big5": "今天的天氣很好，我們一起去公園散步吧，圖書館裡有許多書",
    "shift_jis": "今日は天気がとても良いので、公園へ散歩に行きましょう",
    "euc_kr": "오늘은 날씨가 아주 좋아서 공원에 산책하러 갑니다 그리고 도서관에도 갑니다",
    "cp1251": "сегодня очень хорошая погода и мы идём гулять в парк",
    "cp1252": "la météo est très agréable, nous allons au café près du château",
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_the_likely_encoding_is_named_and_reads_the_text(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "my.csv"
    path.write_bytes(f'text,label\n"{SENTENCES[encoding]}",a\n"{SENTENCES[encoding]}",b\n'.encode(encoding))
    with pytest.raises(UserError, match=f"line 2: .* is not UTF-8; .*fetch.encoding={encoding}$"):
        list(table_files.read_table(path))
    (rows,) = table_files.read_table(path, encoding=encoding)
    assert rows["text"].tolist() == [SENTENCES[encoding]] * 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_is_read_with_and_without_its_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "my.csv").write_bytes("text,label\nnaïve 数,a\n".encode(encoding))
    (rows,) = table_files.read_table(tmp_path / "my.csv")
    assert rows["text"].tolist() == ["naïve 数"]


def parquet_bytes(tmp_path: Path) -> bytes:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    return (tmp_path / "a.parquet").read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"a,b\n1,2\n"), "is a gzip file; give it a name that ends in .gz"),
        (b"PK\x03\x04 and more", "is a ZIP archive or a spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and more", r"is an old spreadsheet \(.xls\); save the sheet as CSV or .xlsx"),
        (b"\x93NUMPY\x01\x00v\x00", "save arrays with names by numpy.savez as .npz"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "run git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>login</body></html>\n", "is a page of the web or XML"),
        (bytes(range(1, 256)) * 20, "this is no text"),
    ],
    ids=["gzip", "zip", "xls", "npy", "git-lfs", "html", "binary"],
)
def test_another_kind_of_file_under_the_name_of_a_table_is_named(tmp_path: Path, content: Any, words: str) -> None:
    (tmp_path / "my.csv").write_bytes(content)
    with pytest.raises(UserError, match=words):
        list(table_files.read_table(tmp_path / "my.csv"))


def test_a_parquet_file_called_csv_is_named(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_bytes(parquet_bytes(tmp_path))
    with pytest.raises(UserError, match=r"my.csv is a parquet file; give it a name that ends in .parquet"):
        list(table_files.read_table(tmp_path / "my.csv"))


@pytest.mark.parametrize("number", range(2, 6))
def test_a_pickle_of_any_kind_is_never_opened(tmp_path: Path, number: int) -> None:
    (tmp_path / "my.pkl").write_bytes(pickle.dumps({"text": ["a"]}, protocol=number))
    with pytest.raises(UserError, match="a Python pickle, which may run any code and is never opened"):
        list(table_files.read_table(tmp_path / "my.pkl"))


def test_an_arff_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "my.arff").write_text("% loans\n@relation loans\n@attribute age numeric\n@data\n47\n49\n")
    with pytest.raises(UserError, match=r"my.arff is an ARFF file \(Weka\); save it as CSV"):
        list(table_files.read_table(tmp_path / "my.arff"))
