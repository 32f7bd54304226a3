"""Parquet files hold an index, bytes and checksums that a reader must not pass over."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import UserError
from tasks.data import table_files


def read(path: Path, **options: Any) -> Any:
    return pd.concat(list(table_files.read_table(path, **options)), ignore_index=True)


def test_an_index_is_a_column_like_any_other(tmp_path: Path) -> None:
    prices = pd.DataFrame({"close": [1.5, 2.5]}, index=pd.DatetimeIndex(["2021-01-04", "2021-01-05"], name="Date"))
    prices.to_parquet(tmp_path / "one.parquet")
    assert read(tmp_path / "one.parquet")["Date"].tolist() == list(prices.index)
    two = prices.assign(Ticker=["a", "b"]).set_index("Ticker", append=True)
    two.to_parquet(tmp_path / "two.parquet")
    assert read(tmp_path / "two.parquet")[["Ticker", "close"]].to_numpy().tolist() == [["a", 1.5], ["b", 2.5]]
    pd.DataFrame({"close": [1.5, 2.5, 3.5]}, index=[7, 3, 5]).to_parquet(tmp_path / "shuffled.parquet")
    assert read(tmp_path / "shuffled.parquet")["unnamed index 1"].tolist() == [7, 3, 5]


def test_bytes_are_text_unless_they_are_asked_for(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["thé".encode(), b"b", None], pa.binary())})
    pq.write_table(table, tmp_path / "my.parquet")
    assert read(tmp_path / "my.parquet")["text"].tolist()[:2] == ["thé", "b"]
    assert read(tmp_path / "my.parquet", binary=("text",))["text"].tolist()[0] == "thé".encode()
    pq.write_table(pa.table({"text": pa.array([b"\xff"], pa.binary())}), tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad\.parquet, row 0: the bytes of column 'text' are not UTF-8"):
        read(tmp_path / "bad.parquet")


def test_text_that_is_not_utf8_is_damage(tmp_path: Path) -> None:
    wrong = pa.array([b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": wrong}), tmp_path / "my.parquet")
    with pytest.raises(UserError, match=r"my\.parquet.*UTF8"):
        read(tmp_path / "my.parquet")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), tmp_path / "my.parquet")
    with pytest.raises(UserError, match="two columns are named 'text'; rename one"):
        read(tmp_path / "my.parquet")


def test_metadata_of_pandas_that_is_no_json_does_no_harm(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({"pandas": b"{broken"})
    pq.write_table(table, tmp_path / "my.parquet")
    assert read(tmp_path / "my.parquet")["a"].tolist() == [1, 2]


def test_a_changed_byte_under_a_checksum_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    pq.write_table(pa.table({"a": np.arange(5000)}), path, write_page_checksum=True, use_dictionary=False, compression="none")
    whole = path.read_bytes()
    place = whole.index(np.int64(1234).tobytes() + np.int64(1235).tobytes())
    path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
    with pytest.raises(UserError, match=r"my\.parquet.*CRC.*the file is damaged"):
        read(path)


def test_whatever_byte_is_changed_there_is_a_table_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    pd.DataFrame({"text": ["a", "b"] * 50, "n": range(100)}).to_parquet(path)
    whole = path.read_bytes()
    for place in range(4, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with suppress(UserError):
            read(path)
