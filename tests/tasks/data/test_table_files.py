"""Valid tables are read the same in every encoding; of invalid ones no row is used, and one line says why."""

import bz2
import gzip
import lzma
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import UserError
from tasks.data import table_files

GOOD = 'text,label\n"a, b",x\n"two\nlines",y\nthree,15.0\n'


def read(path: Any, *columns: Any, **options: Any) -> Any:
    return pd.concat(list(table_files.read_table(path, columns, **options)), ignore_index=True)


def write_file(tmp_path: Path, content: Any, name: Any = "my.csv") -> Any:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.csv", GOOD),
        ("my.csv", GOOD.replace("\n", "\r\n")),
        ("my.csv", b"\xef\xbb\xbf" + GOOD.encode()),
        ("my.csv", "\n" + GOOD + "\n\n"),
        ("my.csv.gz", gzip.compress(GOOD.encode(), mtime=0)),
        ("my.csv.xz", lzma.compress(GOOD.encode())),
        ("my.csv.bz2", bz2.compress(GOOD.encode())),
        ("my.tsv", GOOD.replace(",", "\t").replace("a\t b", "a, b")),
    ],
    ids=["plain", "line ends of Windows", "byte order mark", "empty lines", "gz", "xz", "bz2", "tabs"],
)
def test_a_good_table_is_read_however_it_is_written(tmp_path: Path, name: Any, content: Any) -> None:
    rows = read(write_file(tmp_path, content, name))
    assert [text.replace("\r", "") for text in rows["text"]] == ["a, b", "two\nlines", "three"]
    assert rows["label"].tolist() == ["x", "y", "15.0"]
    assert rows["doubt"].tolist() == ["", "", ""]


def test_a_row_carries_its_file_and_the_line_it_begins_at(tmp_path: Path) -> None:
    rows = read(write_file(tmp_path, GOOD))
    assert rows["row"].tolist() == [2, 3, 5]
    assert set(rows["file"]) == {"my.csv"}


def test_values_stay_as_they_were_written(tmp_path: Path) -> None:
    rows = read(write_file(tmp_path, "a,b,c,d\n007,1e400,NaN,\nTrue,1.0,NA,null\n"))
    assert rows[["a", "b", "c", "d"]].to_numpy().tolist() == [["007", "1e400", "NaN", ""], ["True", "1.0", "NA", "null"]]


def test_only_the_requested_columns_are_read_and_in_their_order(tmp_path: Path) -> None:
    assert list(read(write_file(tmp_path, "a,b,c\n1,2,3\n"), "c", "a")) == ["c", "a", "file", "row", "doubt"]


def test_a_file_without_a_header_is_given_names(tmp_path: Path) -> None:
    rows = read(
        write_file(tmp_path, "ham\tit's \"fine\nspam\tWIN\n", "sms.txt"), names=("label", "text"), separator="\t", quotes=False
    )
    assert rows["text"].tolist() == ["it's \"fine", "WIN"]
    assert rows["row"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "my.csv is empty (0 bytes)"),
        (b"\n\n", "my.csv holds blank lines only"),
        (b"text,label\n", "my.csv has a header (text, label) but no rows"),
        (b"text;label\na;x\nb\nc\n", "split at ';'"),
        (b"text\tlabel\na\tx\nb\nc\n", "split at '\\t'"),
        (b"text,text\na,x\n", "two columns of the header are named 'text'"),
        (b"text,label\na,x,1\n", "my.csv, line 2 has 3 fields, expected 2 (text, label)"),
        (b'text,label\n"a\nb",x\nc\n', "my.csv, line 4 has 1 field, expected 2"),
        (b"text,label\na,x\nb", "my.csv, line 3 has 1 field, expected 2 (text, label); the file may be cut short"),
        (b'text,label\na,x\n"b,y\nc,z\n', "my.csv, line 3: a quotation mark is never closed"),
        (b'text,label\n"a"b,x\n', "my.csv, line 2: ',' expected after '\"'"),
        ("text,label\na,x\nnaïve,y\n".encode("latin-1"), "my.csv, line 3: byte 17 (0xef) is not UTF-8"),
        (b"text,label\na\0,x\n", "my.csv, line 2: byte 12 is zero"),
        (b"text,label\n" + b"a" * 16_000_001, "my.csv, line 2 is longer than 16,000,000 bytes"),
    ],
)
def test_a_bad_csv_is_refused_in_one_line_that_names_the_place(tmp_path: Path, content: Any, message: Any) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read(write_file(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_number_that_may_be_cut_short_is_marked(tmp_path: Path) -> None:
    rows = read(write_file(tmp_path, "a,b\n1,15.0\n2,15.0"[:-2]))
    assert rows["b"].tolist() == ["15.0", "15"]
    assert [bool(doubt) for doubt in rows["doubt"]] == [False, True]


def test_a_csv_cut_anywhere_gives_only_true_or_marked_rows(tmp_path: Path) -> None:
    whole = 'text,price\n"a, b",15.25\n"c ""d""",7\nplain,301\n'
    true = {tuple(row) for row in read(write_file(tmp_path, whole))[["text", "price"]].to_numpy()}
    for length in range(len(whole)):
        try:
            rows = read(write_file(tmp_path, whole[:length]))
        except UserError:
            continue
        sure = rows[rows["doubt"] == ""]
        assert {tuple(row) for row in sure[["text", "price"]].to_numpy()} <= true, whole[:length]


def test_a_missing_column_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"my\.csv has no column 'lable'; did you mean 'label'\? It has text, label"):
        read(write_file(tmp_path, GOOD), "lable")


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_a_compressed_file_cut_or_damaged_is_refused_by_name(tmp_path: Path, compress: Any) -> None:
    suffix = {gzip.compress: "gz", lzma.compress: "xz", bz2.compress: "bz2"}[compress]
    content = "a,b\n" + "".join(f"{i},{i * i}\n" for i in range(2000))
    whole = compress(content.encode())
    for bad in (whole[: len(whole) // 2], whole[:-9], whole[:20] + b"\0\0\0\0" + whole[24:], b"a,b\n1,2\n"):
        with pytest.raises(UserError, match=rf"my\.csv\.{suffix} is (cut short|damaged)"):
            read(write_file(tmp_path, bad, f"my.csv.{suffix}"))


def test_json_lines_keep_what_was_written(tmp_path: Path) -> None:
    content = '{"text": "a", "n": 1.50, "b": true, "x": null}\n\n{"text": "é", "n": 1e400, "b": {"c": [1]}, "x": "y"}'
    rows = read(write_file(tmp_path, content, "my.jsonl"))
    assert rows["n"].tolist() == ["1.50", "1e400"]
    assert rows["b"].tolist() == ["true", '{"c": [1]}']
    assert rows["x"].isna().tolist() == [True, False]
    assert rows["row"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": 2\n', "my.jsonl, line 2, column 8 is not JSON"),
        ('{"a": 1}\n{"a": "x', "the file may be cut short"),
        ("[1, 2]\n", "my.jsonl, line 1: expected one object per line"),
        ("\n \n", "my.jsonl holds blank lines only"),
        ("[" * 100_000, "my.jsonl, line 1 is not JSON"),
    ],
)
def test_bad_json_lines_are_refused_with_line_and_column(tmp_path: Path, content: Any, message: Any) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        read(write_file(tmp_path, content, "my.jsonl"))


def test_parquet_keeps_its_types_and_is_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    pd.DataFrame({"image": [bytes([i % 256]) for i in range(6000)], "label": np.arange(6000)}).to_parquet(path)
    blocks = list(table_files.read_table(path, ("label", "image"), binary=("image",)))
    assert max(map(len, blocks)) == table_files.BLOCK_ROWS
    rows = pd.concat(blocks)
    assert rows["label"].tolist() == rows["row"].tolist() == list(range(6000))
    assert rows["image"].iloc[5] == b"\x05"


def test_a_parquet_file_of_pictures_is_read_without_keeping_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "BLOCK_ROWS", 10)
    path = tmp_path / "my.parquet"
    pictures = [np.random.default_rng(seed).bytes(100_000) for seed in range(200)]
    pq.write_table(pa.table({"image": pictures, "label": ["a"] * 200}), path, row_group_size=10)
    before, most = pa.total_allocated_bytes(), 0
    for block in table_files.read_table(path, ("label", "image"), binary=("image",)):
        assert block["image"].tolist() == [pictures[row] for row in block["row"]]
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < path.stat().st_size / 2


def test_a_parquet_file_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    pd.DataFrame({"a": range(100)}).to_parquet(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"my\.parquet"):
            read(path)


@pytest.mark.parametrize(("name", "message"), [("my.xlsx", "save the sheet as CSV"), ("my.7z", "unpack it")])
def test_what_is_no_table_is_refused_with_a_way_out(tmp_path: Path, name: Any, message: Any) -> None:
    with pytest.raises(UserError, match=message):
        read(write_file(tmp_path, b"PK\x03\x04", name))


def test_a_folder_named_like_a_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.csv").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path / "my.csv")


def test_many_files_are_counted_by_folder() -> None:
    names = [f"cat/{place}" for place in range(table_files.MAX_LISTED_FILES)] + ["dog/1", "loose"]
    assert set(table_files.report_names(names).values()) == {"cat", "dog", "."}
    assert table_files.report_names(names[:3]) == {name: name for name in names[:3]}
