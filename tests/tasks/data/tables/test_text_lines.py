"""Text files are read in their encoding and packing, whatever ends their lines."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import table_files
from tasks.data.tables import text_lines

TABLE = "text,label\n教练球队,体育\nnaïve,other\n"


def read(path: Path, **options: Any) -> Any:
    return pd.concat(list(table_files.read_table(path, **options)), ignore_index=True)


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("gb18030", "gb18030"), ("utf-16-le", "utf-16-le"), ("utf-8", "UTF-8")],
)
def test_a_text_is_the_same_in_every_encoding(tmp_path: Path, encoding: str, told: str) -> None:
    (tmp_path / "my.csv").write_bytes(TABLE.encode(encoding))
    rows = read(tmp_path / "my.csv", encoding=told)
    assert rows["text"].tolist() == ["教练球队", "naïve"]
    assert rows["doubt"].tolist() == ["", ""]


def test_a_text_in_another_encoding_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_bytes(TABLE.replace("naïve", "plain").encode("gb18030"))
    with pytest.raises(UserError, match=r"line 2: .* is not UTF-8; .* it may be GB 18030 \(Chinese\), fetch.encoding=gb18030"):
        read(tmp_path / "my.csv")
    (tmp_path / "my.csv").write_bytes("text,label\nnaïve,x\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"it may be Latin-1 or Windows-1252, fetch.encoding=cp1252"):
        read(tmp_path / "my.csv")
    with pytest.raises(UserError, match="is not utf-16-le; is that its encoding"):
        read(tmp_path / "my.csv", encoding="utf-16-le")
    with pytest.raises(ValueError, match="expected a name such as utf-8"):
        text_lines.check_encoding("utf-9000")


def test_a_long_file_with_carriage_returns_alone_is_read_to_its_end(tmp_path: Path) -> None:
    content = "a,b\r" + "".join(f"{number},x\r" for number in range(200_000))
    (tmp_path / "mac.csv").write_text(content, newline="")
    rows = read(tmp_path / "mac.csv")
    assert rows["a"].tolist() == [str(number) for number in range(200_000)]
    assert rows["row"].iloc[-1] == 200_001


def test_one_table_in_a_zip_archive_is_read_and_several_are_not(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("folder/one.csv", "a;b\n1;2\n")
        archive.writestr("__MACOSX/folder/._one.csv", "x")
    assert read(tmp_path / "one.zip")["b"].tolist() == ["2"]
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("one.csv", "a,b\n1,2\n")
        archive.writestr("two.csv", "a,b\n1,2\n")
    with pytest.raises(UserError, match=r"two\.zip holds 2 files; unpack it"):
        read(tmp_path / "two.zip")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match=r"bad\.zip is damaged"):
        read(tmp_path / "bad.zip")
