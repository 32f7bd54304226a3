"""Keys of rows, and the split of a row. Both depend on a row's content, never on its position."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

SPLITS = ("train", "validation", "test")
EVALUATION_SPLITS = ("validation", "test")
"""The splits that evaluate measures."""
CONTEXT_SPLIT = "context"
"""Rows in no split that others need as input, such as the first days of a time series."""
UNLABELLED = "unlabelled"
"""Rows in no split and without a label, which only a pretrained teacher labels; also the name of the column that marks raw
ones, and the label that a use case writes for them."""


def official_test_rows(rows: DataFrame) -> Series:
    """Whether each row (N,) is in a test split that the source names: in its column `subset`, if the use case has one."""
    if "subset" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["subset"] == "test"


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


def hash_fractions(keys: Series) -> NDArray[np.float64]:
    """A uniform number in [0, 1) per key (N,), the same on every machine."""
    digests = (blake2b(key.encode(), digest_size=7, person=b"bonsai").digest() for key in keys)
    return np.array([int.from_bytes(digest, "little") / 2**56 for digest in digests], dtype=np.float64)


def split_by_hash(keys: Series, validation_share: float, test_share: float) -> Series:
    """The split of each key (N,): `train`, `validation` or `test`."""
    return _split_at(hash_fractions(keys), keys.index, validation_share, test_share)


def stratified_split(keys: Series, labels: Series, validation_share: float, test_share: float) -> Series:
    """The split of each key (N,), such that each label has the same share in every split, up to whole rows.

    Rows with equal keys get the same split. If their labels differ, the first one counts.
    """
    first = labels.groupby(keys.to_numpy()).first()
    fractions = pd.Series(hash_fractions(pd.Series(first.index)), index=first.index)
    groups = pd.DataFrame({"label": first, "fraction": fractions}).sort_values("fraction", kind="stable")
    ranks = (groups.groupby("label").cumcount() + 0.5) / groups.groupby("label")["fraction"].transform("size")
    split_of_key = _split_at(ranks.to_numpy(), groups.index, validation_share, test_share)
    return pd.Series(split_of_key.loc[keys].to_numpy(), index=keys.index, dtype=object)


def split_beside_source(
    subset: Series, keys: Series, labels: Series | None, validation_share: float, test_share: float
) -> Series:
    """The split of each row (N,): the one that the source names, else one taken from the rows whose split it does not name.

    Those rows are split by their `keys`, with the same share of each of `labels` (N,) in every split where there are labels.
    `subset` (N,) holds what the source says; a split that it names gets no other row.
    """
    named = set(subset)
    shares = (0.0 if "validation" in named else validation_share, 0.0 if "test" in named else test_share)
    free = ~subset.isin(EVALUATION_SPLITS)
    assigned = split_by_hash(keys[free], *shares) if labels is None else stratified_split(keys[free], labels[free], *shares)
    return subset.mask(free, assigned).astype(object)


def _split_at(fractions: NDArray[np.float64], index: pd.Index, validation_share: float, test_share: float) -> Series:
    """`test` below `test_share`, `validation` in the next `validation_share`, `train` above."""
    validation = np.where(fractions < test_share + validation_share, "validation", "train")
    return pd.Series(np.where(fractions < test_share, "test", validation), index=index, dtype=object)
