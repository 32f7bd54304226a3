"""The kind of each column of a table, number, category or neither, and how its numbers are written.

A column has one kind for the whole table, so kinds are inferred before rows are validated, and are stored with every row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tasks.core.errors import UserError
from tasks.data.date_cells import DateEvidence
from tasks.data.number_cells import Decimal, NumberEvidence, NumberFormat, read_numbers
from tasks.use_cases.credit.column_types import MAX_CODES, MISSING_LABELS, normalize_cells

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Kind = Literal["number", "category", "neither"]

MIN_NUMBER_SHARE, MAX_CATEGORY_NUMBER_SHARE = 0.95, 0.5
"""Share of numbers among a column's known cells: from the first on it is a number, up to the second a category."""
MAX_CATEGORIES = 1000
"""Most values of a category; a column with more of them identifies rows."""
MAX_NUMERIC_CLASSES = 20
"""Integers with at most so many distinct values may name classes; with more they are a quantity."""
MIN_ID_SHARE = 0.999
"""Share of distinct values from which a column named like an id is one."""
COUNTED_ROWS = 100_000
"""Rows whose distinct values are counted."""
DATE_ROWS = 500
"""Cells that are looked at to tell whether a column holds dates."""
_ID_NAME = re.compile(
    r"(?:^|[^a-z])(?:id|uuid|guid|key|index|row|nr|no|num|number)$|^(?:id|uuid)[^a-z]|.*[a-z](?:ID|Id)$|^#$|^unnamed\b"
)
_UNNAMED = re.compile(r"unnamed[ :]|unnamed$")


@dataclass(slots=True)
class ColumnStatistics:
    """Statistics of one column over the blocks so far."""

    rows: int = 0
    known_cells: int = 0
    counts_rows: bool = True
    """Whether each number is one more than the one before it."""
    last: float | None = None
    values: dict[str, None] = field(default_factory=dict)
    """The different cells that are not missing, in the order of their rows, at most `MAX_CATEGORIES` and a few."""
    seen: set[str] = field(default_factory=set)
    """The values of the first `COUNTED_ROWS` known cells."""
    counted: int = 0
    evidence: NumberEvidence = field(default_factory=NumberEvidence)
    dates: DateEvidence = field(default_factory=DateEvidence)
    form: NumberFormat = field(default_factory=NumberFormat)
    """How the numbers are written; set by `decide`."""

    def add(self, cells: Series) -> None:
        texts = normalize_cells(cells)
        known_cells = texts[texts != ""]
        self.rows += len(cells)
        self.known_cells += len(known_cells)
        self.evidence.add(cells)
        if self.dates.cells < DATE_ROWS:
            self.dates.add(cells.head(DATE_ROWS))
        unique = known_cells.unique()
        if len(self.values) <= MAX_CATEGORIES:
            self.values |= dict.fromkeys(unique[: MAX_CATEGORIES + 1])
        if self.counted < COUNTED_ROWS:
            self.seen.update(unique)
            self.counted += len(known_cells)
        if self.counts_rows:
            numbers = pd.to_numeric(known_cells, errors="coerce").astype(np.float64).to_numpy()
            steps = np.diff(numbers if self.last is None else np.concatenate([[self.last], numbers]))
            self.counts_rows = len(numbers) == len(cells) and bool((steps == 1).all())
            self.last = float(numbers[-1]) if len(numbers) else self.last

    def decide(self, decimal: Decimal | None, source: Decimal) -> None:
        """Decide how the numbers are written, by what is told, by the column itself, or by its source."""
        self.form = self.evidence.format(decimal, source)

    @property
    def numbers(self) -> int:
        return min(self.known_cells, self.evidence.readable(self.form))

    @property
    def distinct_share(self) -> float:
        return len(self.seen) / self.counted if self.counted else 0.0

    @property
    def not_a_number(self) -> str:
        """A known cell that is not a number."""
        cells = pd.Series(list(self.values), dtype=object)
        wrong = cells[read_numbers(cells, self.form).isna()] if len(cells) else cells
        return str(wrong.iloc[0])[:40] if len(wrong) else ""

    def is_quantity(self) -> bool:
        """Whether the cells are numbers that name no classes: with fractions, or with many values."""
        if not self.evidence.cells or self.numbers / self.evidence.cells < MIN_NUMBER_SHARE:
            return False
        return self._has_fractions() or len(self.values) > MAX_NUMERIC_CLASSES

    def _has_fractions(self) -> bool:
        numbers = read_numbers(pd.Series(list(self.values), dtype=object), self.form)
        return bool((numbers[np.isfinite(numbers)] % 1 != 0).any())

    def kind(self, name: str) -> tuple[Kind, str]:
        """The kind, and why it is neither."""
        if not self.values:
            return "neither", "it is empty"
        if len(self.values) < 2:
            return "neither", f"all its values are {next(iter(self.values))[:40]!r}"
        if self.counts_rows and self.rows > MAX_CODES:
            return "neither", "it counts the rows"
        share = self.numbers / max(1, self.evidence.cells)
        if share >= MIN_NUMBER_SHARE:
            many = self.rows > MAX_CODES and self.distinct_share >= MIN_ID_SHARE
            if many and _is_id(name) and not self._has_fractions():
                return "neither", "it is an id, another number in each row"
            return "number", ""
        dated = self.dates.cells - self.dates.forms[""]
        if len(self.values) > MAX_CODES and dated and dated >= MIN_NUMBER_SHARE * self.dates.cells:
            return "neither", "dates"
        units = self.evidence.units()
        if len(units) > 1 and len(self.values) > MAX_CODES and self.evidence.shaped() >= MIN_NUMBER_SHARE * self.evidence.cells:
            return "neither", f"its numbers have several units or currencies ({', '.join(units[:4])})"
        if share > MAX_CATEGORY_NUMBER_SHARE:
            raise UserError(
                f"column {name!r} mixes numbers and text: {self.numbers:,} of {self.evidence.cells:,} cells are numbers, "
                f"{self.not_a_number!r} is none; name it in fetch.numbers (then the others are quarantined), "
                "fetch.categories or fetch.ignore"
            )
        if len(self.values) > min(MAX_CATEGORIES, max(50, self.known_cells // 2)):
            if share > MAX_CATEGORY_NUMBER_SHARE / 5:
                return "neither", f"it mixes numbers ({share:.0%}) and text, such as {self.not_a_number!r}"
            return "neither", f"{min(99, round(100 * self.distinct_share)) if self.distinct_share < 1 else 100} % distinct text"
        return "category", ""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known about the columns of a table."""

    kinds: dict[str, Kind]
    forms: dict[str, NumberFormat]
    """How numbers are written, of those columns where it is not plain."""
    ids: tuple[str, ...]
    """Columns that say which person or thing a row is about."""
    remarks: tuple[str, ...]


def infer_columns(
    blocks: Iterable[DataFrame],
    kinds_given: Mapping[str, Kind],
    excluded: Collection[str],
    decimal: Decimal | None = None,
    source: Decimal = ".",
    label: ColumnStatistics | None = None,
) -> Columns:
    """The kind of every column that is not in `excluded`; `kinds_given` take precedence.

    A column is `neither` when it has one value only, counts the rows, holds dates, or has a value of its own for nearly every
    row. `decimal` is the decimal sign if it is told; a column that does not tell its own has that of most others, else `source`.
    The statistics of the `label` are settled too.
    """
    statistics: dict[str, ColumnStatistics] = {}
    for block in blocks:
        for name in block.columns:
            if name not in excluded:
                statistics.setdefault(str(name), ColumnStatistics()).add(block[name])
    decimals = [column.evidence.own_decimal() for column in [*statistics.values(), *([label] if label else [])]]
    usual: Decimal = "," if decimals.count(",") > decimals.count(".") else "." if decimals.count(".") else source
    if label:
        label.decide(decimal, usual)
    kinds: dict[str, Kind] = {}
    forms: dict[str, NumberFormat] = {}
    ids, remarks = list[str](), list[str]()
    for name, column in statistics.items():
        column.decide(decimal, usual)
        kind, why = (kinds_given[name], "") if name in kinds_given else column.kind(name)
        kinds[name] = kind
        if kind == "neither" and len(column.values) > 1 and (_is_id(name) or column.distinct_share >= MIN_ID_SHARE):
            ids.append(name)
        if why:
            remarks.append(f"column `{name}` left out: {why}")
        if kind == "number":
            forms |= {name: column.form} if column.form.to_json() else {}
            remarks += _number_remark(name, column)
    kinds |= {name: kind for name, kind in kinds_given.items() if name not in kinds}
    if not {"number", "category"} & set(kinds.values()):
        raise UserError(f"no column to learn from: each of {', '.join(kinds) or 'none'} has one value only, or names its row")
    return Columns(kinds, forms, tuple(ids), tuple(remarks))


def _number_remark(name: str, column: ColumnStatistics) -> list[str]:
    """What is unusual about how the numbers of a column are written."""
    words = column.evidence.words(column.form)
    if not words:
        return []
    doubt = ""
    if column.evidence.is_ambiguous:
        read, other = ("1,234 is 1234", "comma") if column.form.decimal == "." else ("1,234 is 1.234", "point")
        doubt = f" ({read}; fetch.decimal={other} reads it otherwise)" if column.evidence.of_shape("either comma") else ""
    return [f"column `{name}` read as number with {words}{doubt}"]


def _is_id(name: str) -> bool:
    return bool(_ID_NAME.search(name.strip()) or _ID_NAME.search(name.strip().lower()))


def observe(blocks: Iterable[DataFrame], column: str, statistics: ColumnStatistics) -> Iterator[DataFrame]:
    """Yields the blocks unchanged, while `statistics` collects their `column`."""
    for block in blocks:
        cells = block[column]
        statistics.add(cells)
        if not pd.api.types.is_numeric_dtype(cells):  # words that are missing elsewhere may be labels
            unique = normalize_cells(cells, MISSING_LABELS).unique()[:MAX_CATEGORIES]
            statistics.values |= dict.fromkeys(text for text in unique if text)
        yield block


def infer_column_kinds(
    blocks: Iterable[DataFrame], kinds_given: Mapping[str, Kind], excluded: Collection[str]
) -> dict[str, Kind]:
    """The kinds of `infer_columns`."""
    return infer_columns(blocks, kinds_given, excluded).kinds
