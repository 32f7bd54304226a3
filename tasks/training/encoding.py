"""Encode tables of any size into arrays, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.problem import PreprocessingState
from tasks.core.storage import file_backed
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

FIRST_ROWS, BLOCK_ROWS = 32, 2500
BLOCK_BYTES = 32 * 2**20
"""The most bytes of inputs that are encoded at a time."""
MEMORY_BYTES = 256 * 2**20
"""Larger arrays are memory-mapped files."""


def encode_tables(
    case: UseCase, tables: Sequence[DataFrame], state: PreprocessingState, scratch: Path, name: str = ""
) -> tuple[Array, Array]:
    """Inputs (N, ...) and targets (N, ...) of all rows; memory-mapped files in `scratch` when larger than `MEMORY_BYTES`.

    The names of the files begin with `name`. Where blocks have rows of another length (axis 1), such as the terms of texts, all
    are padded with zeros to the longest.
    """
    total, rows = sum(map(len, tables)), FIRST_ROWS
    if not total:
        return case.encode(tables[0], state)
    inputs, targets, filled = None, None, 0
    for table in tables:
        start = 0
        while start < len(table):
            x, y = case.encode(table.iloc[start : start + rows].reset_index(drop=True), state)
            if inputs is None or targets is None:
                inputs = allocate(total, x, scratch / f"{name}inputs.npy")
                targets = allocate(total, y, scratch / f"{name}targets.npy")
            if x.shape[1:] != inputs.shape[1:]:
                length = max(x.shape[1], inputs.shape[1])
                x = _padded(x, length)
                if inputs.shape[1] < length:
                    before = np.array(inputs[:filled])
                    inputs = allocate(total, x, scratch / f"{name}inputs.npy")
                    inputs[:filled] = _padded(before, length)
            inputs[filled : filled + len(x)], targets[filled : filled + len(x)] = x, y
            start, filled = start + len(x), filled + len(x)
            rows = max(FIRST_ROWS, min(BLOCK_ROWS, BLOCK_BYTES * len(x) // max(1, x.nbytes)))
            file_backed.release_pages()
    assert inputs is not None
    assert targets is not None
    return inputs, targets


def _padded(rows: Array, length: int) -> Array:
    """The rows (N, L, ...) with zeros up to `length`."""
    return np.pad(rows, [(0, 0), (0, length - rows.shape[1]), *[(0, 0)] * (rows.ndim - 2)])


def allocate(total: int, like: Array, path: Path) -> Array:
    """An array of `total` rows with the row shape and type of `like`; the file `path` when larger than `MEMORY_BYTES`."""
    shape = (total, *like.shape[1:])
    if total * like.nbytes <= MEMORY_BYTES * len(like):
        return np.empty(shape, like.dtype)
    mapped: Array = file_backed.map_array(path, like.dtype, shape)
    return mapped
