"""Statistics in cells: how many reference rows are in each, and conformal p-values of new rows. Legend: T rows, C cells.

The rows that are counted must not be those that the cells were made from: cells that fit their rows too well would make new rows
look unlike them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

MAX_EDGES = 40
MAX_VALUES = 40
"""The most categories with a cell of their own."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one statistic, by which its rows are ordered."""

    edges: Floats
    """Of a number: cell i holds values above edge i - 1 up to edge i; a last cell holds missing ones. Empty for a category."""
    values: tuple[str, ...]
    """Of a category, the most frequent first; two more cells hold all others and missing ones. Empty for a number."""
    counts: Integers
    """(C,): reference rows."""

    @property
    def is_number(self) -> bool:
        return not self.values

    def of(self, column: Sequence[Any] | NDArray[Any]) -> Integers:
        """The cell of each value, (T,)."""
        if self.is_number:
            numbers = np.asarray(column, np.float64)
            places_of_numbers = np.searchsorted(self.edges, numbers, "left")
            return np.where(np.isnan(numbers), len(self.edges) + 1, places_of_numbers).astype(np.int64)
        places = {value: place for place, value in enumerate(self.values)}
        other = len(self.values)
        return np.array([other + 1 if _is_missing(value) else places.get(str(value), other) for value in column], np.int64)

    def counting(self, column: Sequence[Any] | NDArray[Any]) -> Cells:
        """The same cells with the counts of other rows."""
        return replace(self, counts=np.bincount(self.of(column), minlength=len(self.counts)).astype(np.int64))

    def as_json(self) -> dict[str, Any]:
        kind = {"edges": self.edges.tolist()} if self.is_number else {"values": list(self.values)}
        return {**kind, "counts": self.counts.tolist()}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Cells:
        return cls(
            np.array(entry.get("edges", ()), np.float64), tuple(entry.get("values", ())), np.array(entry["counts"], np.int64)
        )


def number_cells(column: Sequence[float] | Floats) -> Cells:
    """Cells between quantiles of the finite values, and one for each value where there are few; the outer ones are open."""
    numbers = np.asarray(column, np.float64)
    finite = numbers[np.isfinite(numbers)]
    distinct = np.unique(finite)
    edges = distinct if len(distinct) <= MAX_EDGES else np.unique(np.quantile(finite, np.linspace(0, 1, MAX_EDGES)))
    empty = Cells(edges if len(edges) else np.zeros(1), (), np.zeros(0, np.int64))
    return Cells(empty.edges, (), np.bincount(empty.of(numbers), minlength=len(empty.edges) + 2).astype(np.int64))


def category_cells(column: Sequence[Any]) -> Cells:
    """A cell for each of the most frequent values."""
    counted = Counter(str(value) for value in column if not _is_missing(value))
    values = tuple(sorted(counted, key=lambda value: (-counted[value], value))[:MAX_VALUES]) or ("",)
    empty = Cells(np.zeros(0), values, np.zeros(0, np.int64))
    return Cells(empty.edges, values, np.bincount(empty.of(column), minlength=len(values) + 2).astype(np.int64))


def p_values(counts: Integers, cells: Integers, uniforms: Floats) -> Floats:
    """Smoothed conformal p-values (T,) of rows in cells (T,), after `counts` (C,) earlier rows, to which each row is added.

    The share of all rows so far in a higher cell, plus a random share of those in the same one (`uniforms` (T,)). As long as
    all rows, those of the reference and the new ones, come from one distribution, the p-values are independent and uniform
    (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005, theorem 8.1).
    """
    if not len(cells):
        return np.zeros(0)
    before = np.zeros((len(cells), len(counts)), np.int64)
    before[np.arange(1, len(cells)), cells[:-1]] = 1
    before = np.cumsum(before, 0) + counts
    same = np.take_along_axis(before, cells[:, None], 1)[:, 0]
    above = np.take_along_axis(np.cumsum(before[:, ::-1], 1)[:, ::-1], cells[:, None], 1)[:, 0] - same
    return np.asarray((above + uniforms * (same + 1)) / (before.sum(1) + 1), np.float64)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
