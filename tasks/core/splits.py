"""Which rows are the same, and which split a row belongs to: by what it holds, never by where it stands."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SPLITS = ("train", "validation", "test")
EVALUATION_SPLITS = ("validation", "test")
"""The splits that evaluate measures."""
CONTEXT_SPLIT = "context"
"""In no split: what only other rows need, such as days that are too early to have a past of their own."""


def row_keys(rows: DataFrame, columns: tuple[str, ...]) -> Series:
    """A 16-digit hexadecimal key per row, equal where all `columns` are equal."""
    digests = []
    for values in zip(*(rows[column] for column in columns), strict=True):
        digest = blake2b(digest_size=8)
        for value in values:
            data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
        digests.append(digest.hexdigest())
    return pd.Series(digests, index=rows.index, dtype=object)


def hash_fractions(keys: Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A number in [0, 1) per key, evenly spread and the same on every machine."""
    digests = (blake2b(key.encode(), digest_size=7, person=b"bonsai").digest() for key in keys)
    return np.array([int.from_bytes(digest, "little") / 2**56 for digest in digests], dtype=np.float64)


def split_by_hash(keys: Series, validation_share: float, test_share: float) -> Series:
    """The split of each key, (N,) of `train`, `validation` or `test`."""
    at = hash_fractions(keys)
    chosen = np.where(at < test_share, "test", np.where(at < test_share + validation_share, "validation", "train"))
    return pd.Series(chosen, index=keys.index, dtype=object)


def stratified_split(keys: Series, labels: Series, validation_share: float, test_share: float) -> Series:
    """The split of each key, such that every label has its shares of each split, as near as whole rows allow.

    Equal keys share a split; with several labels they count for the first.
    """
    first = labels.groupby(keys.to_numpy()).first()
    at = pd.Series(hash_fractions(pd.Series(first.index)), index=first.index)
    groups = pd.DataFrame({"label": first, "at": at}).sort_values("at", kind="stable")
    place = (groups.groupby("label").cumcount() + 0.5) / groups.groupby("label")["at"].transform("size")
    chosen = np.where(place < test_share, "test", np.where(place < test_share + validation_share, "validation", "train"))
    return pd.Series(pd.Series(chosen, index=groups.index).loc[keys].to_numpy(), index=keys.index, dtype=object)
