"""Column types of a table (number, category or neither), parsing of cells, and encoding of numbers and categories.

A column has one type for the whole table, so types are inferred before rows are validated, and are stored with every row.
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
"""Words for a missing value, in lower case."""
MIN_NUMBER_SHARE, MAX_CATEGORY_NUMBER_SHARE = 0.95, 0.5
"""Share of numbers among a column's known cells: from the first on it is a number, up to the second a category."""
MAX_CATEGORIES = 1000
"""Most values of a category; a column with more of them identifies rows."""
MAX_CODES = 12
"""Integers with at most so many distinct values are encoded as categories too: they may be codes."""
MAX_NUMERIC_CLASSES = 20
"""Integers with at most so many distinct values may name classes; with more they are a quantity."""
MAX_NUMBER = 1e30
"""Largest absolute number; larger ones would overflow in a network."""
MAX_CATEGORY_CHARACTERS = 200
MAX_NORMAL_SCORE = 4.0
"""Largest absolute normal score, in standard deviations."""


@dataclass(slots=True)
class ColumnStatistics:
    """Statistics of one column over the blocks so far."""

    rows: int = 0
    known_cells: int = 0
    numbers: int = 0
    counts_rows: bool = True
    """Whether each number is one more than the one before it."""
    last: float | None = None
    values: set[str] = field(default_factory=set)
    fractions: bool = False
    """Whether a number is not an integer."""
    not_a_number: str = ""
    """A known cell that is not a number."""

    def add(self, cells: Series) -> None:
        texts = normalize_cells(cells)
        known_cells = texts[texts != ""]
        numbers = pd.to_numeric(known_cells, errors="coerce").astype(np.float64)
        numeric = numbers[numbers.notna()].to_numpy()
        self.rows += len(cells)
        self.known_cells += len(known_cells)
        self.numbers += len(numeric)
        if len(self.values) <= MAX_CATEGORIES:
            self.values.update(known_cells.unique()[: MAX_CATEGORIES + 1])
        self.fractions = self.fractions or bool((numeric[np.isfinite(numeric)] % 1 != 0).any())
        steps = np.diff(numeric if self.last is None else np.concatenate([[self.last], numeric]))
        self.counts_rows = self.counts_rows and len(numeric) == len(cells) and bool((steps == 1).all())
        self.last = float(numeric[-1]) if len(numeric) else self.last
        if not self.not_a_number and len(numeric) < len(known_cells):
            self.not_a_number = str(known_cells[numbers.isna()].iloc[0])[:40]

    def is_quantity(self) -> bool:
        """Whether the cells are numbers that name no classes: with fractions, or with many values."""
        if not self.known_cells or self.numbers / self.known_cells < MIN_NUMBER_SHARE:
            return False
        return self.fractions or len(self.values) > MAX_NUMERIC_CLASSES

    def kind(self, name: str) -> Kind:
        if len(self.values) < 2 or (self.counts_rows and self.rows > MAX_CODES):
            return "neither"
        share = self.numbers / self.known_cells
        if share >= MIN_NUMBER_SHARE:
            return "number"
        if share > MAX_CATEGORY_NUMBER_SHARE:
            raise UserError(
                f"column {name!r} mixes numbers and text: {self.numbers:,} of {self.known_cells:,} cells are numbers, "
                f"{self.not_a_number!r} is none; name it in fetch.numbers (then the others are quarantined), "
                "fetch.categories or fetch.ignore"
            )
        return "neither" if len(self.values) > min(MAX_CATEGORIES, max(50, self.known_cells // 2)) else "category"


def observe(blocks: Iterable[DataFrame], column: str, statistics: ColumnStatistics) -> Iterator[DataFrame]:
    """Yields the blocks unchanged, while `statistics` collects their `column`."""
    for block in blocks:
        statistics.add(block[column])
        yield block


def infer_column_kinds(
    blocks: Iterable[DataFrame], kinds_given: Mapping[str, Kind], excluded: Collection[str]
) -> dict[str, Kind]:
    """The kind of every column that is not in `excluded`; `kinds_given` take precedence.

    A column is `neither` when it has one value only, counts the rows, or has a value of its own for nearly every row.
    """
    statistics: dict[str, ColumnStatistics] = {}
    for block in blocks:
        for name in block.columns:
            if name not in excluded and name not in kinds_given:
                statistics.setdefault(str(name), ColumnStatistics()).add(block[name])
    kinds = {name: kinds_given.get(name) or column.kind(name) for name, column in statistics.items()} | dict(kinds_given)
    if not {"number", "category"} & set(kinds.values()):
        raise UserError(f"no column to learn from: each of {', '.join(kinds) or 'none'} has one value only, or names its row")
    return kinds


def normalize_cells(cells: Series) -> Series:
    """Each cell as text without surrounding blanks, empty where the value is missing."""
    if pd.api.types.is_numeric_dtype(cells):
        cells = cells.astype(object).where(cells.notna(), "")
    texts = cells.astype(object).fillna("").astype(str).str.strip().astype(object)
    return texts.where(~texts.str.lower().isin(MISSING), "")


def parse_numbers(cells: Series) -> tuple[Series, Series]:
    """The cells as numbers, NaN where missing, and the error code of each cell (str, empty without an error)."""
    texts = normalize_cells(cells)
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce").astype(np.float64)
    errors = pd.Series("", index=cells.index, dtype=object)
    errors[numbers.isna() & (texts != "")] = "not-a-number"
    errors[numbers.abs() > MAX_NUMBER] = "infinite"
    return numbers.where(errors == ""), errors


def parse_categories(cells: Series) -> tuple[Series, Series]:
    """The cells as text, integers without a decimal point, and the error code of each cell (str, empty without an error)."""
    texts = normalize_cells(cells).str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
    errors = pd.Series("", index=cells.index, dtype=object)
    errors[texts.str.len() > MAX_CATEGORY_CHARACTERS] = "too-long"
    errors[~texts.map(str.isprintable)] = "unprintable"
    return texts.astype(object), errors


def quantile_curve(values: NDArray[np.float64], points: int) -> tuple[list[float], list[float]]:
    """A quantile transform of numbers (N,) to normal scores: ascending knots (points,), and the score at each; NaN is ignored.

    The score of a value that several rows share is that of their mean rank. Repeated knots at the end are padding.
    """
    ordered = np.sort(values[~np.isnan(values)])
    if not len(ordered):
        return [0.0] * points, [0.0] * points
    knots = np.unique(
        np.array([float(f"{knot:.7g}") for knot in np.quantile(ordered, np.linspace(0, 1, points), method="inverted_cdf")])
    )
    rank = (np.searchsorted(ordered, knots, "left") + np.searchsorted(ordered, knots, "right")) / (2 * len(ordered))
    min_share = 1 / (2 * len(ordered))
    normal = NormalDist()
    scores = [
        max(-MAX_NORMAL_SCORE, min(MAX_NORMAL_SCORE, normal.inv_cdf(min(1 - min_share, max(min_share, float(share))))))
        for share in rank
    ]
    num_repeated = points - len(knots)
    knots_padded = [*map(float, knots), *[float(knots[-1])] * num_repeated]
    return knots_padded, [round(score, 4) for score in [*scores, *[scores[-1]] * num_repeated]]


def frequent_values(cells: Series, min_rows: int) -> list[str]:
    """The values of a category with at least `min_rows` rows, sorted; a missing value is none."""
    counts = cells.value_counts()
    return sorted(str(value) for value, count in counts.items() if value != "" and count >= min_rows)


def category_codes(cells: Series, values: Sequence[str]) -> NDArray[np.float32]:
    """The position of each cell in `values`, from 1; 0 for a missing, rare or unknown value."""
    code = {value: number for number, value in enumerate(values, start=1)}
    codes: NDArray[np.float32] = cells.map(code).fillna(0).to_numpy(np.float32)
    return codes


def is_code_like(numbers: Series) -> bool:
    """Whether the numbers may be codes: integers with few distinct values."""
    known_values = numbers.dropna()
    return 1 < known_values.nunique() <= MAX_CODES and bool((known_values % 1 == 0).all())


def codes_as_text(numbers: Series) -> Series:
    """Integers as text, empty where missing."""
    return numbers.map(lambda number: "" if np.isnan(number) else str(int(number))).astype(object)
