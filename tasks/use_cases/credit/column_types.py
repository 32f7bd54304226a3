"""Parsing of a table's cells by the kind of their column, and encoding of numbers and categories."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.data.number_cells import MISSING_NUMBERS, MISSING_WORDS, NumberFormat, is_missing, read_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import Series

MISSING_LABELS = frozenset(("", "na", "n/a", "<na>", "nan", "null", "?", "#n/a"))
"""Words for a missing label: "-", "none" and others may name a class."""
MAX_CODES = 12
"""Integers with at most so many distinct values are encoded as categories too: they may be codes."""
MAX_NUMBER = 1e30
"""Largest absolute number; larger ones would overflow in a network."""
MAX_CATEGORY_CHARACTERS = 200
MAX_NORMAL_SCORE = 4.0
"""Largest absolute normal score, in standard deviations."""


def normalize_cells(cells: Series, missing: Collection[str] = MISSING_WORDS) -> Series:
    """Each cell as text without surrounding blanks, empty where it is one of the words for `missing`."""
    if pd.api.types.is_numeric_dtype(cells):
        cells = cells.astype(object).where(cells.notna(), "")
    texts = cells.astype(object).fillna("").astype(str).map(_trimmed).astype(object)
    return texts.where(~texts.str.lower().isin(missing), "")


def _trimmed(text: str) -> str:
    return text.strip(" \t\r\n\f\v\u00a0\u202f\u2007\ufeff")


def parse_numbers(cells: Series, form: NumberFormat | None = None) -> tuple[Series, Series]:
    """The cells as numbers, NaN where missing, and the error code of each cell (str, empty without an error)."""
    numbers = read_numbers(cells, form)
    errors = pd.Series("", index=cells.index, dtype=object)
    errors[numbers.isna() & ~is_missing(cells, MISSING_NUMBERS)] = "not-a-number"
    errors[numbers.abs() > MAX_NUMBER] = "infinite"
    return numbers.where(errors == ""), errors


def parse_categories(cells: Series, missing: Collection[str] = MISSING_WORDS) -> tuple[Series, Series]:
    """The cells as text, integers without a decimal point, and the error code of each cell (str, empty without an error)."""
    texts = normalize_cells(cells, missing).str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
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
