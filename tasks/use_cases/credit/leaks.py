"""Columns of a table that tell the label: what is only known afterwards, copies of the label, and ids given in its order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MIN_GAIN = 0.98
"""A column tells a class when it leaves at most 2 % of the errors of always naming the most frequent class."""
MIN_CORRELATION = 0.999
"""Rank correlation with a numeric label from which a column tells it."""
MIN_ROWS = 30
RANGES = 64
"""Ranges into which the values of a number are cut."""
MIN_VALUE_ROWS = 2


def find_leaks(rows: DataFrame, features: Iterable[str], label: Series) -> list[str]:
    """A sentence for each column that alone tells the label (classes as text, or numbers), and for rows in its order."""
    if len(rows) < MIN_ROWS or label.nunique() < 2:
        return []
    numeric = pd.api.types.is_numeric_dtype(label)
    detected = []
    for name in features:
        if numeric:
            share = abs(_rank_correlation(rows[name], label)) if pd.api.types.is_numeric_dtype(rows[name]) else 0.0
            if share >= MIN_CORRELATION:
                detected.append(f"column `{name}` alone orders the label (rank correlation {share:.3f}); is it known beforehand?")
        else:
            gain, filled = explained_share(rows[name], label), _explained_by_absence(rows[name], label)
            if pd.api.types.is_numeric_dtype(rows[name]) and label.nunique() == 2:
                gain = max(gain, abs(_gini(rows[name], label)))
            if filled >= MIN_GAIN:
                detected.append(f"column `{name}` is filled for one label only and tells it; is it known before the event?")
            elif gain >= MIN_GAIN:
                detected.append(f"column `{name}` alone tells the label of {gain:.1%} of the rows; is it known before the event?")
    position = pd.Series(np.arange(len(rows), dtype=np.float64), index=rows.index)
    if (abs(_rank_correlation(position, label)) if numeric else _ordered_share(position, label)) >= MIN_CORRELATION:
        detected.append("the rows stand in the order of the label: an id or the row's number would tell it")
    return detected


def explained_share(cells: Series, label: Series) -> float:
    """The share of the errors of the most frequent class that a column's values leave out, each row judged by the others.

    0 where the column tells nothing, 1 where it tells the label. Numbers with many values are cut into `RANGES` equal ranks.
    """
    values: Series = cells
    if pd.api.types.is_float_dtype(cells) and cells.nunique() > RANGES:
        values = (cells.rank(method="average") * RANGES / (len(cells) + 1)).fillna(-1).astype(int)
    elif pd.api.types.is_float_dtype(cells):
        values = cells.fillna(np.inf)
    counts = pd.crosstab(values.to_numpy(), label.to_numpy()).to_numpy()
    base = counts.sum(axis=0).max() / counts.sum()
    if len(counts) < 2 or base == 1:
        return 0.0
    ordered = np.sort(counts, axis=1)[:, ::-1]
    right = np.where(ordered[:, 0] - 1 >= ordered[:, 1], ordered[:, 0], 0)[ordered[:, 0] >= MIN_VALUE_ROWS].sum() / counts.sum()
    return float((right - base) / (1 - base))


def _explained_by_absence(cells: Series, label: Series) -> float:
    """`told_share` of whether a cell is filled."""
    missing = cells.isna() | (cells.astype(object) == "")
    return explained_share(missing.map({True: "missing", False: "filled"}), label) if missing.any() and not missing.all() else 0.0


def _ordered_share(position: Series, label: Series) -> float:
    """1 if rows of each class stand together and there are several of each, less by the share of changes from row to row."""
    classes = label.nunique()
    changes = int((label.to_numpy()[1:] != label.to_numpy()[:-1]).sum())
    return 1.0 if changes == classes - 1 and label.value_counts().min() >= MIN_VALUE_ROWS and len(position) > classes * 5 else 0.0


def _gini(numbers: Series, label: Series) -> float:
    """2 AUC - 1 of a number for one of two classes, over the rows where it is known; 0 if it is constant."""
    both = numbers.notna()
    event = (label[both] == label[both].iloc[0]) if both.any() else both
    rows, events = len(event), int(event.sum())
    if rows < MIN_ROWS or events in (0, rows):
        return 0.0
    auc = (numbers[both].rank()[event].sum() - events * (events + 1) / 2) / (events * (rows - events))
    return float(2 * auc - 1)


def _rank_correlation(one: Series, other: Series) -> float:
    """Spearman's rank correlation over the rows where both are known; 0 if one is constant."""
    both = one.notna() & other.notna()
    first, second = one[both].rank(), other[both].rank()
    if both.sum() < MIN_ROWS or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
