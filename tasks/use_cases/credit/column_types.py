"""What the columns of a table are: numbers, categories, both or neither; and what their cells mean.

A column is one kind for the whole table, so kinds are found before rows are judged, and travel with every row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tasks.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

Kind = Literal["number", "category", "neither"]

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "nil", "?", "-", "."))
"""What people write into a cell that knows nothing, in small letters."""
MIN_NUMBER_SHARE, MAX_CATEGORY_NUMBER_SHARE = 0.95, 0.5
"""Share of a column's known cells that are numbers, from which it is one, and up to which it holds categories."""
MAX_CATEGORIES = 1000
"""Values of a category that are told apart; a column with more names its rows."""
MAX_CODES = 12
"""Whole numbers of so few values are looked up as categories too: they may be codes."""
MAX_NUMERIC_CLASSES = 20
"""Whole numbers of so few values may name classes; of more they are a quantity."""
MAX_NUMBER = 1e30
"""Numbers beyond do not pass through a network's arithmetic."""
MAX_CATEGORY_CHARACTERS = 200
MAX_NORMAL_SCORE = 4.0
"""Standard deviations at which normal scores end."""


@dataclass(slots=True)
class ColumnStatistics:
    """What one column showed so far."""

    rows: int = 0
    known: int = 0
    numbers: int = 0
    rising: bool = True
    """Whether its numbers are whole and each is one more than that before it."""
    last: float | None = None
    values: set[str] = field(default_factory=set)
    fractions: bool = False
    """Whether a number is not whole."""
    strange: str = ""
    """A known cell that is no number."""

    def add(self, cells: Series) -> None:
        words = normalize_cells(cells)
        known = words[words != ""]
        numbers = pd.to_numeric(known, errors="coerce").astype(np.float64)
        found = numbers[numbers.notna()].to_numpy()
        self.rows, self.known, self.numbers = self.rows + len(cells), self.known + len(known), self.numbers + len(found)
        if len(self.values) <= MAX_CATEGORIES:
            self.values.update(known.unique()[: MAX_CATEGORIES + 1])
        self.fractions = self.fractions or bool((found[np.isfinite(found)] % 1 != 0).any())
        steps = np.diff(found if self.last is None else np.concatenate([[self.last], found]))
        self.rising = self.rising and len(found) == len(cells) and bool((steps == 1).all())
        self.last = float(found[-1]) if len(found) else self.last
        if not self.strange and len(found) < len(known):
            self.strange = str(known[numbers.isna()].iloc[0])[:40]

    def is_quantity(self) -> bool:
        """Whether the cells are numbers that name no classes: with fractions, or of many values."""
        if not self.known or self.numbers / self.known < MIN_NUMBER_SHARE:
            return False
        return self.fractions or len(self.values) > MAX_NUMERIC_CLASSES

    def kind(self, name: str) -> Kind:
        if len(self.values) < 2 or (self.rising and self.rows > MAX_CODES):
            return "neither"
        share = self.numbers / self.known
        if share >= MIN_NUMBER_SHARE:
            return "number"
        if share > MAX_CATEGORY_NUMBER_SHARE:
            raise UserError(
                f"column {name!r} mixes numbers and text: {self.numbers:,} of {self.known:,} cells are numbers, {self.strange!r} "
                "is none; name it in fetch.numbers (then the others are quarantined), fetch.categories or fetch.ignore"
            )
        return "neither" if len(self.values) > min(MAX_CATEGORIES, max(50, self.known // 2)) else "category"


def observe(blocks: Iterable[DataFrame], column: str, statistics: ColumnStatistics) -> Iterator[DataFrame]:
    """The blocks as they are, while `statistics` collects what their `column` shows."""
    for block in blocks:
        statistics.add(block[column])
        yield block


def infer_column_kinds(blocks: Iterable[DataFrame], given: Mapping[str, Kind], beside: Collection[str]) -> dict[str, Kind]:
    """The kind of every column that is not one of those `beside`; `given` are settled already.

    Neither number nor category are columns with one value only, that count the rows, or that name nearly each of them.
    """
    seen: dict[str, ColumnStatistics] = {}
    for block in blocks:
        for name in block.columns:
            if name not in beside and name not in given:
                seen.setdefault(str(name), ColumnStatistics()).add(block[name])
    kinds = {name: given.get(name) or column.kind(name) for name, column in seen.items()} | dict(given)
    if not {"number", "category"} & set(kinds.values()):
        raise UserError(f"no column to learn from: each of {', '.join(kinds) or 'none'} has one value only, or names its row")
    return kinds


def normalize_cells(cells: Series) -> Series:
    """Each cell as text without blanks around it, empty where it knows nothing."""
    if pd.api.types.is_numeric_dtype(cells):
        cells = cells.astype(object).where(cells.notna(), "")
    words = cells.astype(object).fillna("").astype(str).str.strip().astype(object)
    return words.where(~words.str.lower().isin(MISSING), "")


def parse_numbers(cells: Series) -> tuple[Series, Series]:
    """The cells as numbers, NaN where nothing is known, and what is wrong with each (str, empty if nothing)."""
    words = normalize_cells(cells)
    numbers = pd.to_numeric(words.where(words != ""), errors="coerce").astype(np.float64)
    fault = pd.Series("", index=cells.index, dtype=object)
    fault[numbers.isna() & (words != "")] = "not-a-number"
    fault[numbers.abs() > MAX_NUMBER] = "infinite"
    return numbers.where(fault == ""), fault


def parse_categories(cells: Series) -> tuple[Series, Series]:
    """The cells as text, whole numbers without a point, and what is wrong with each (str, empty if nothing)."""
    words = normalize_cells(cells).str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
    fault = pd.Series("", index=cells.index, dtype=object)
    fault[words.str.len() > MAX_CATEGORY_CHARACTERS] = "too-long"
    fault[~words.map(str.isprintable)] = "unprintable"
    return words.astype(object), fault


def quantile_curve(values: NDArray[np.float64], points: int) -> tuple[list[float], list[float]]:
    """A curve that brings numbers (N,), NaN left out, to normal scores: knots (points,), rising, and the score at each.

    Where many rows share a value its score is that of the middle of their ranks. Repeated knots at the end say nothing.
    """
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return [0.0] * points, [0.0] * points
    knots = np.unique(
        np.array([float(f"{knot:.7g}") for knot in np.quantile(known, np.linspace(0, 1, points), method="inverted_cdf")])
    )
    rank = (np.searchsorted(known, knots, "left") + np.searchsorted(known, knots, "right")) / (2 * len(known))
    least = 1 / (2 * len(known))
    normal = NormalDist()
    scores = [
        max(-MAX_NORMAL_SCORE, min(MAX_NORMAL_SCORE, normal.inv_cdf(min(1 - least, max(least, float(share)))))) for share in rank
    ]
    spare = points - len(knots)
    return [*map(float, knots), *[float(knots[-1])] * spare], [round(score, 4) for score in [*scores, *[scores[-1]] * spare]]


def frequent_values(cells: Series, fewest: int) -> list[str]:
    """The values of a category that at least so many rows have, in order; what is missing is none."""
    counts = cells.value_counts()
    return sorted(str(value) for value, count in counts.items() if value != "" and count >= fewest)


def category_codes(cells: Series, values: Sequence[str]) -> NDArray[np.float32]:
    """Where each cell stands among `values`, from 1; 0 for what is missing, rare or was never seen."""
    place = {value: number for number, value in enumerate(values, start=1)}
    found: NDArray[np.float32] = cells.map(place).fillna(0).to_numpy(np.float32)
    return found


def is_code_like(numbers: Series) -> bool:
    """Whether the numbers may be codes: whole, and of few values."""
    known = numbers.dropna()
    return 1 < known.nunique() <= MAX_CODES and bool((known % 1 == 0).all())


def codes_as_text(numbers: Series) -> Series:
    """Whole numbers as the text of their code."""
    return numbers.map(lambda number: "" if np.isnan(number) else str(int(number))).astype(object)
