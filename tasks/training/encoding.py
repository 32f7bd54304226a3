"""Encode tables of any size into arrays, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.problem import PreprocessingState
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

BLOCK_ROWS = 2500
MEMORY_BYTES = 4 * 2**30
"""Larger arrays are memory-mapped files."""


def encode_tables(case: UseCase, tables: Sequence[DataFrame], state: PreprocessingState, scratch: Path) -> tuple[Array, Array]:
    """Inputs (N, ...) and targets (N, ...) of all rows; memory-mapped files in `scratch` when larger than `MEMORY_BYTES`."""
    total = sum(map(len, tables))
    inputs, targets, filled = None, None, 0
    for table in tables:
        for start in range(0, len(table), BLOCK_ROWS):
            x, y = case.encode(table.iloc[start : start + BLOCK_ROWS].reset_index(drop=True), state)
            if inputs is None or targets is None:
                inputs, targets = allocate(total, x, scratch / "inputs.npy"), allocate(total, y, scratch / "targets.npy")
            inputs[filled : filled + len(x)], targets[filled : filled + len(x)] = x, y
            filled += len(x)
    assert inputs is not None
    assert targets is not None
    return inputs, targets


def allocate(total: int, like: Array, path: Path) -> Array:
    """An array of `total` rows with the row shape and type of `like`; the file `path` when larger than `MEMORY_BYTES`."""
    shape = (total, *like.shape[1:])
    if total * like.nbytes <= MEMORY_BYTES * len(like):
        return np.empty(shape, like.dtype)
    mapped: Array = np.lib.format.open_memmap(path, mode="w+", dtype=like.dtype, shape=shape)
    return mapped
