"""One reader of numbers for all tables: decimal commas, thousands separators, currencies, per cent, brackets, words for nothing.

How numbers are written is found once per column (`NumberEvidence`), never per cell: "1.234" alone may be either number. Where a
column does not tell, the other columns of its source do, else a point is the decimal point.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pandas import Series

Decimal = Literal[".", ","]
MISSING_WORDS = frozenset(
    (
        *("", "na", "n/a", "n.a.", "<na>", "nan", "-nan", "null", "none", "nil", "nat", "?", "-", "--", ".", "\\n"),
        *("#n/a", "#na", "#n/a n/a", "#null!", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "-1.#ind", "1.#qnan"),
    )
)
"""Words for a missing value, in lower case: those of Python, R, SQL and spreadsheets."""
MISSING_NUMBERS = MISSING_WORDS | {
    "missing",
    "unknown",
    "not available",
    "not applicable",
    "no data",
    "undefined",
    "n.d.",
    "k.a.",
    "unbekannt",
}
"""Words for a missing value in a column of numbers; in a column of words they may be values."""
THOUSANDS = {" ": "blanks", "'": "apostrophes", ",": "commas", ".": "points"}
MIN_SHARE = 0.95
"""Signs such as "$" and "%" belong to the numbers of a column when at least this share of its cells can be read with them."""
_THOUSAND, _MILLION = ("k", "K", "Tsd.", "Tsd", "千", "천"), ("M", "mn", "Mio.", "Mio", "mln", "million")
_BILLION, _MYRIAD, _MYRIADS = ("B", "bn", "Mrd.", "Mrd", "mld", "billion"), ("万", "萬", "만"), ("亿", "億", "억")
SCALES = {"": 1.0, **dict.fromkeys(_THOUSAND, 1e3), **dict.fromkeys(_MILLION, 1e6), **dict.fromkeys(_BILLION, 1e9), "T": 1e12}
SCALES |= {**dict.fromkeys(_MYRIAD, 1e4), **dict.fromkeys(_MYRIADS, 1e8), "lakh": 1e5, "crore": 1e7}
"""What a number may be multiplied by, behind it: letters, and words of several languages."""
_CODES = "USD|EUR|GBP|JPY|CHF|INR|CNY|RMB|RUB|SEK|NOK|DKK|PLN|CZK|HUF|TRY|BRL|MXN|CAD|AUD|NZD|HKD|SGD|KRW|TWD|THB|ZAR"
_UNITS = (
    "kg|g|mg|lbs?|oz|km|cm|mm|mi|ft|in|sq ?ft|m|ha|l|ml|GB|MB|kB|TB|kWh|kW|W|V|Hz|MHz|GHz|hp|bhp|PS|CC|cc|rpm|kmpl|mpg|"
    "km/h|kmh|mph|years?|yrs?|months?|days?|weeks?|hours?|hrs?|mins?|sec|ms|s|h|bps|pts?|m²|m2|m³|m3|°C|°F|°"
)
"""Units that all numbers of a column may end in."""
_CURRENCY = rf"(?:US\$|R\$|A\$|C\$|HK\$|[$€£¥₹₩₽₺₫₴₦₱฿₪]|(?:{_CODES})(?![A-Za-z])|kr\.?|zł|Kč|Ft|Rs\.?|Fr\.|元|円)"
_SCALES = "|".join(re.escape(scale) for scale in sorted(SCALES, key=len, reverse=True) if scale)
_CELL = re.compile(
    rf"""(?P<open>\()?\s*(?P<sign>[+-])?\s*(?P<before>{_CURRENCY})?\s*(?P<second>[+-])?\s*
    (?P<body>\d[\d.,'\s]*|[.,]\d+)(?P<power>[eE][+-]?\d{{1,4}})?\s*(?P<scale>(?:{_SCALES})(?![A-Za-z]))?\s*(?P<percent>%)?\s*
    (?P<after>{_CURRENCY})?\s*(?P<trailing>[+-])?\s*(?P<close>\))?\s*(?P<last>{_CURRENCY}|%)?\s*(?P<unit>{_UNITS})?""",
    re.VERBOSE,
)
_SAME_CURRENCY = {
    "year": "years",
    "yr": "years",
    "yrs": "years",
    "month": "months",
    "day": "days",
    "week": "weeks",
    "hour": "hours",
    "hr": "hours",
    "hrs": "hours",
    "h": "hours",
    "min": "mins",
    "lb": "lbs",
    "pt": "pts",
    "cc": "CC",
    "US$": "$",
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "INR": "₹",
    "Rs": "₹",
    "Rs.": "₹",
    "JPY": "¥",
    "kr.": "kr",
}
_ALIKE = str.maketrans({"−": "-", "–": "-", "—": "-", "﹣": "-", "’": "'", "‘": "'", "´": "'", "`": "'", "\ufeff": " "})
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_FRACTION = re.compile(r"-?\d+\.(?:\d{1,2}|\d{4,})")
"""The usual fraction, which can be read in one way only."""
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
NEUTRAL, POINT, COMMA, EITHER_POINT, EITHER_COMMA = "neutral", "point", "comma", "either point", "either comma"
"""How a number is written: without a decimal sign, with this one for sure, or with one sign that may be of either kind."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How the numbers of one column are written. Blanks, apostrophes and the sign that is not decimal separate thousands."""

    decimal: Decimal = "."
    currency: str = ""
    """The sign or unit that cells may have, such as "$" or "kg"."""
    percent: bool = False
    """Whether each cell but zero has a per cent sign; its number is read as written, 12.5 for "12.5 %"."""
    scaled: bool = False
    """Whether cells may end in one of `SCALES`, such as K, Mio. or 万."""

    def to_json(self) -> dict[str, Any]:
        """The entries that differ from plain numbers."""
        plain = NumberFormat()
        names = ("decimal", "currency", "percent", "scaled")
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(plain, name)}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> NumberFormat:
        return cls(**entries)

    def words(self, *, thousands: str = "", fractions: bool = True) -> str:
        """The format in words, such as "decimal commas, $"; empty for plain numbers."""
        parts = ["decimal commas"] * (self.decimal == "," and fractions)
        parts += [f"thousands {thousands}"] * bool(thousands)
        parts += (
            [self.currency] * bool(self.currency) + ["per cent signs"] * self.percent + ["multiples (K, Mio., 万)"] * self.scaled
        )
        return ", ".join(parts)


@dataclass(slots=True)
class NumberEvidence:
    """How the cells of one column, or of several that are written alike, are written; collected block by block."""

    cells: int = 0
    """Cells that are not missing."""
    shapes: Counter[tuple[str, str, bool, bool]] = field(default_factory=Counter)
    """Cells that may be numbers by (shape, currency, percent, scaled)."""
    thousands: set[str] = field(default_factory=set)
    """The signs that separate thousands in a cell for sure."""
    small_integers: bool = False
    large_integers: bool = False
    """Whether there is an integer without separators below 1000, and from 1000 on."""
    plain_zeros: int = 0
    """Zeros without a per cent sign, which are right in a column of per cents too."""
    rounded: Counter[str] = field(default_factory=Counter)
    """Cells such as "1.230", by shape: a separator, three digits, the last one zero."""

    def add(self, cells: Series) -> None:
        """Count these cells. Numbers that are none of text are plain."""
        if pd.api.types.is_numeric_dtype(cells):
            count = int(cells.notna().sum())
            self.cells += count
            self.shapes[NEUTRAL, "", False, False] += count
            return
        counts = cells[cells.notna()].astype(str).value_counts()
        for text, count in counts.items():
            if _FRACTION.fullmatch(str(text)):
                self.cells += int(count)
                self.shapes[POINT, "", False, False] += int(count)
            else:
                self._add_text(tidy(str(text)), int(count))

    def _add_text(self, text: str, count: int) -> None:
        if text.lower() in MISSING_NUMBERS:
            return
        self.cells += count
        if _INFINITE.fullmatch(text):
            self.shapes[NEUTRAL, "", False, False] += count
            return
        parts = _split(text)
        shape = _shape(parts.body, parts.power) if parts else ""
        if parts is None or not shape:
            return
        self.shapes[shape, parts.currency, parts.percent, bool(parts.scale)] += count
        self.plain_zeros += count * (not parts.percent and not parts.body.strip("0.,"))
        self.thousands |= {
            mark for groups in re.findall(r"\d([ '])(?=\d)|([.,])\d{3}[.,]", parts.body) for mark in groups if mark
        }
        if parts.body.isdigit():
            self.small_integers = self.small_integers or len(parts.body) <= 3
            self.large_integers = self.large_integers or len(parts.body) > 3
        if shape in (EITHER_POINT, EITHER_COMMA) and parts.body.endswith("0"):
            self.rounded[shape] += count

    def of_shape(self, *shapes: str) -> int:
        return sum(count for (shape, *_), count in self.shapes.items() if shape in shapes)

    def own_decimal(self) -> Decimal | None:
        """The decimal sign that these cells tell; None if they tell none."""
        point, comma = self.of_shape(POINT), self.of_shape(COMMA)
        if point or comma:
            return "." if point >= comma else ","
        for shape, mark, other in ((EITHER_POINT, ".", ","), (EITHER_COMMA, ",", ".")):
            if self.of_shape(shape):
                if self.large_integers:
                    return mark  # type: ignore[return-value]  # 1,234 beside 5678: thousands would have one too
                if self.small_integers and self.rounded[shape]:
                    return other  # type: ignore[return-value]  # 950 beside 1.230: a fraction would end in no zero
        return None

    @property
    def is_ambiguous(self) -> bool:
        """Whether cells may be read in two ways, and nothing in the column says in which."""
        return self.own_decimal() is None and bool(self.of_shape(EITHER_POINT, EITHER_COMMA))

    def format(self, decimal: Decimal | None = None, source: Decimal = ".") -> NumberFormat:
        """The format of the column: `decimal` if it is told, else its own, else that of its source."""
        decimal = decimal or self.own_decimal() or source
        return max(
            (NumberFormat(decimal, *unit) for unit in self._units()),
            key=lambda form: (self.readable(form) >= MIN_SHARE * self.cells, not form.to_json(), self.readable(form)),
        )

    def _units(self) -> list[tuple[str, bool, bool]]:
        """The currencies, per cent signs and scales of the cells: none, and all that are found together."""
        currencies = Counter[str]()
        percents = scales = 0
        for (_, currency, percent, scaled), count in self.shapes.items():
            currencies[currency] += count * bool(currency)
            percents += count * percent
            scales += count * scaled
        return [
            ("", False, False),
            (currencies.most_common(1)[0][0] if currencies else "", percents * 2 > self.cells, scales > 0),
        ]

    def readable(self, form: NumberFormat) -> int:
        """How many cells are numbers in this format."""
        other = COMMA if form.decimal == "." else POINT
        return self.plain_zeros * form.percent + sum(
            count
            for (shape, currency, percent, scaled), count in self.shapes.items()
            if shape != other and currency in ("", form.currency) and percent == form.percent and scaled <= form.scaled
        )

    def shaped(self) -> int:
        """How many cells are numbers in some format."""
        return sum(self.shapes.values())

    def units(self) -> list[str]:
        """The currencies and units of the cells, the most frequent first."""
        counts = Counter[str]()
        for (_, unit, _, _), count in self.shapes.items():
            counts[unit] += count
        return [unit for unit, _ in counts.most_common() if unit]

    def words(self, form: NumberFormat) -> str:
        """What is unusual about these cells in this format; empty if nothing is."""
        fractions = bool(self.of_shape(COMMA, EITHER_COMMA))
        usual, either = (",", EITHER_COMMA) if form.decimal == "." else (".", EITHER_POINT)
        marks = (self.thousands | ({usual} if self.of_shape(either) else set())) - {form.decimal}
        return form.words(thousands=" and ".join(THOUSANDS[mark] for mark in sorted(marks)), fractions=fractions)


def tidy(text: str) -> str:
    """A cell without surrounding blanks, with plain minus signs, apostrophes, digits and blanks."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_ALIKE)).translate(_ALIKE)
    return text.strip()


def is_missing(cells: Series, words: Collection[str] = MISSING_WORDS) -> Series:
    """Whether each cell is empty or one of the words."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.isna()
    missing: Series = cells.isna() | cells.astype(object).fillna("").astype(str).map(tidy).str.lower().isin(words)
    return missing


def read_numbers(cells: Series, form: NumberFormat | None = None) -> Series:
    """The cells as floats; NaN where a cell is missing or no number in this format. Too large numbers are infinite."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.astype(np.float64)
    form = form or NumberFormat()
    texts = cells.astype(object).fillna("").astype(str)
    numbers = {text: _read(tidy(text), form) for text in texts.unique()}
    return texts.map(numbers).astype(np.float64)


def _read(text: str, form: NumberFormat) -> float:
    if form.decimal == "." and not form.percent and _PLAIN.fullmatch(text):
        return float(text)
    if text.lower() in MISSING_NUMBERS:
        return float("nan")
    if _INFINITE.fullmatch(text):
        return float(text)
    parts = _split(text)
    if parts is None or (parts.currency and parts.currency != form.currency) or (parts.scale and not form.scaled):
        return float("nan")
    shape = _shape(parts.body, parts.power)
    if not shape or shape == (COMMA if form.decimal == "." else POINT):
        return float("nan")
    whole = "".join(mark for mark in parts.body if mark.isdigit() or mark == form.decimal).replace(",", ".")
    number = float(whole + parts.power) * SCALES[parts.scale] * (-1 if parts.negative else 1)
    return number if parts.percent == form.percent or (form.percent and not number) else float("nan")


@dataclass(frozen=True, slots=True)
class _Parts:
    body: str
    """Digits and separators, blanks between digits as one blank."""
    power: str
    scale: str
    currency: str
    percent: bool
    negative: bool


def _split(text: str) -> _Parts | None:
    """A cell's parts; None if it is no number."""
    match = _CELL.fullmatch(text)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    currencies = [mark for mark in (match["before"], match["after"], match["last"]) if mark and mark != "%"]
    percent = bool(match["percent"]) + (match["last"] == "%")
    body = re.sub(r"\s+", " ", match["body"].strip())
    trailing = match["trailing"]
    if body[-1] in ".," and trailing == "-":
        body, trailing = body[:-1], None  # "100,-" is a price without cents
    signs = [sign for sign in (match["sign"], match["second"], trailing, match["open"]) if sign]
    currencies += [match["unit"]] * bool(match["unit"])
    if len(currencies) > 1 or percent > 1 or len(signs) > 1 or (percent and (currencies or match["scale"])):
        return None
    currency = _SAME_CURRENCY.get(currencies[0], currencies[0]) if currencies else ""
    return _Parts(body, match["power"] or "", match["scale"] or "", currency, bool(percent), signs[:1] in (["-"], ["("]))


_GROUPS = {mark: rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+" for mark in (" ", "'", r"\.")}
_GROUPS[","] = r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3}"
"""Digits in groups of three; with commas also as in India, 12,34,567."""
_SHAPES = (
    (NEUTRAL, re.compile(rf"\d+|{_GROUPS[' ']}|{_GROUPS[chr(39)]}")),
    (EITHER_POINT, re.compile(r"[1-9]\d{0,2}\.\d{3}")),
    (EITHER_COMMA, re.compile(r"[1-9]\d{0,2},\d{3}")),
    (POINT, re.compile(rf"(?:\d*|{_GROUPS[' ']}|{_GROUPS[chr(39)]}|{_GROUPS[',']})\.\d*|{_GROUPS[',']}")),
    (COMMA, re.compile(rf"(?:\d*|{_GROUPS[' ']}|{_GROUPS[chr(39)]}|{_GROUPS[chr(92) + '.']}),\d*|{_GROUPS[chr(92) + '.']}")),
)


def _shape(body: str, power: str = "") -> str:
    """The first shape that fits; empty if none does, as for "12.5.2021". Before a power of ten a separator is decimal."""
    shape = next((shape for shape, pattern in _SHAPES if pattern.fullmatch(body)), "")
    return {EITHER_POINT: POINT, EITHER_COMMA: COMMA}.get(shape, shape) if power else shape
