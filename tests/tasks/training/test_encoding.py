"""Encoding tables of any size: block by block, in memory or in files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.training import encoding, trainer
from tasks.training.batches import TensorDataset


class Squares:
    """Encodes numbers as pictures of 4 x 4 pixels, and remembers how many rows it was given at a time."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def encode(self, rows: pd.DataFrame, state: Any) -> Any:
        self.blocks.append(len(rows))
        numbers = rows["number"].to_numpy(np.uint8)
        return np.repeat(numbers, 16).reshape(-1, 1, 4, 4), numbers.astype(np.int64)


TABLES = [pd.DataFrame({"number": range(100)}), pd.DataFrame({"number": range(100, 150)})]


@pytest.mark.parametrize("in_files", [False, True])
def test_blocks_take_as_many_rows_as_fit_and_all_rows_arrive_in_order(
    in_files: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "FIRST_ROWS", 4)
    monkeypatch.setattr(encoding, "BLOCK_BYTES", 16 * 30)
    monkeypatch.setattr(encoding, "MEMORY_BYTES", 0 if in_files else 1 << 20)
    case: Any = Squares()
    inputs, targets = encoding.encode_tables(case, TABLES, {}, tmp_path, "train_")
    assert case.blocks == [4, 30, 30, 30, 6, 30, 20]
    assert targets.tolist() == list(range(150))
    assert inputs[:, 0, 3, 3].tolist() == list(range(150))
    expected = ["train_inputs.npy", "train_targets.npy"] if in_files else []
    assert sorted(path.name for path in tmp_path.iterdir()) == expected


class Terms(Squares):
    """Rows as long as the longest of their block."""

    def encode(self, rows: Any, state: Any) -> Any:
        numbers = rows["number"].to_numpy()
        terms = np.zeros((len(rows), int(numbers.max()) % 7 + 1, 2), np.int32)
        terms[:, 0, 0] = numbers
        return terms, numbers


@pytest.mark.parametrize("in_files", [False, True])
def test_rows_of_different_lengths_are_padded_with_zeros(in_files: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "FIRST_ROWS", 4)
    monkeypatch.setattr(encoding, "BLOCK_ROWS", 5)
    monkeypatch.setattr(encoding, "MEMORY_BYTES", 0 if in_files else 1 << 20)
    case: Any = Terms()
    inputs, targets = encoding.encode_tables(case, TABLES, {}, tmp_path)
    assert inputs.shape == (150, 7, 2)
    assert inputs[:, 0, 0].tolist() == targets.tolist() == list(range(150))
    assert inputs.sum() == sum(range(150)), "all else is 0"


def test_no_rows_are_encoded_as_none(tmp_path: Path) -> None:
    case: Any = Squares()
    inputs, targets = encoding.encode_tables(case, [TABLES[0].head(0)], {}, tmp_path)
    assert (len(inputs), len(targets)) == (0, 0)


def test_a_dataset_and_predictions_from_files_are_those_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.training import batches, validation

    monkeypatch.setattr(encoding, "MEMORY_BYTES", 0)
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(validation, "PREDICT_BYTES", 16 * 7)
    case: Any = Squares()
    inputs, targets = encoding.encode_tables(case, TABLES, {}, tmp_path)
    x, y = TensorDataset(inputs, targets).take(torch.tensor([149, 3, 77]), "cpu")
    assert y.tolist() == x[:, 0, 0, 0].tolist() == [149, 3, 77]

    class Mean(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            return batch.float().mean((1, 2, 3))[:, None]

    assert trainer.predict(Mean(), inputs)[:, 0].tolist() == list(range(150))
