"""Columns of bytes and arrays that stay in files while they are used."""

import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.storage import file_backed
from tasks.core.storage.artifacts import Table, read_split
from tasks.core.storage.file_backed import StoredBytes


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """Three partitions of four rows with 1,000 bytes each, every second of them for training."""
    rows = Table(tmp_path / "rows")
    for part in range(3):
        numbers = range(4 * part, 4 * part + 4)
        images = [bytes([number]) * 1000 for number in numbers]
        rows.write(part, pd.DataFrame({"image": images, "number": numbers, "split": ["train", "test"] * 2}))
    return rows


@pytest.mark.parametrize("limit", [0, 2500, 5999])
def test_large_columns_of_bytes_stay_in_a_file_and_read_as_they_were(
    table: Any, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(file_backed, "MEMORY_BYTES", limit)
    rows = read_split(table, "train")
    assert rows["number"].tolist() == [0, 2, 4, 6, 8, 10]
    assert {type(value) for value in rows["image"]} == {StoredBytes}
    assert [bytes(value) for value in rows["image"]] == [bytes([number]) * 1000 for number in rows["number"]]
    assert rows["image"].map(len).tolist() == [1000] * 6
    some = rows.iloc[[5, 1]].reset_index(drop=True)
    assert [bytes(value)[0] for value in some["image"]] == [10, 2]
    assert sorted(path.name for path in table.path.iterdir()) == [f"part-0000{part}.parquet" for part in range(3)]


def test_small_columns_of_bytes_stay_in_memory(table: Any) -> None:
    assert {type(value) for value in read_split(table, "train")["image"]} == {bytes}


def test_a_copy_for_another_process_holds_the_bytes_themselves(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_backed, "MEMORY_BYTES", 0)
    copied = pickle.loads(pickle.dumps(read_split(table, "test")))
    assert copied["image"].tolist() == [bytes([number]) * 1000 for number in (1, 3, 5, 7, 9, 11)]


def test_a_folder_that_cannot_be_written_keeps_the_file_elsewhere(tmp_path: Path) -> None:
    store = file_backed.ByteStore(tmp_path / "missing")
    rows = store.store(pd.DataFrame({"image": [b"one", b"three"], "label": ["a", "b"]}))
    assert [bytes(value) for value in rows["image"]] == [b"one", b"three"]
    assert rows["label"].tolist() == ["a", "b"]


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_released_pages_leave_memory_and_keep_their_values(tmp_path: Path) -> None:
    array = file_backed.map_array(tmp_path / "a.npy", np.uint8, (50_000_000,))
    array[:] = 7
    held = resident_bytes()
    file_backed.release_pages()
    assert resident_bytes() < held - 40_000_000
    assert array[::1_000_000].tolist() == [7] * 50
    assert np.load(tmp_path / "a.npy", mmap_mode="r")[49_999_999] == 7
