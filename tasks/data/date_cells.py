"""One reader of dates for all tables: year, month or day first, names of months, offsets and zones, seconds since 1970.

A date is the calendar day that is written: "2021-01-04 00:00:00+09:00" is the 4th, wherever it is read. Whether day or month come
first is found once per column (`DateEvidence`), never per cell.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pandas as pd

from tasks.data.number_cells import MISSING_WORDS, tidy

if TYPE_CHECKING:
    from pandas import Series

DateForm = Literal["iso", "day_first", "month_first", "seconds", "milliseconds", "microseconds", "nanoseconds", "excel"]
"""`iso`: the year first, or the month by name, or eight digits; then numbers with the day or the month first; then numbers since
1970-01-01; `excel`: days since 1899-12-30, as spreadsheets count."""
FORM_WORDS: dict[DateForm, str] = {
    "iso": "year first",
    "day_first": "day first",
    "month_first": "month first",
    "seconds": "seconds since 1970",
    "milliseconds": "milliseconds since 1970",
    "microseconds": "microseconds since 1970",
    "nanoseconds": "nanoseconds since 1970",
    "excel": "days as spreadsheets count them",
}
FIRST_YEAR, LAST_YEAR = 1700, 2200
"""Dates of other years are refused: 0, 1600 and 9999 stand for nothing, or are errors."""
_UNITS: dict[DateForm, int] = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_MIN_EPOCH, _MAX_EPOCH = 10**8, 2 * 10**10
"""Seconds since 1970 from 1973 to 2603; likewise for shorter units."""
_EXCEL_DAYS = (10_000, 80_000)
"""Days of a spreadsheet from 1927 to 2119."""
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("jan ene gen янв sty oca", "feb fev fév фев lut şub", "mar mär mrz мар mrt mar", "apr abr avr апр kwi nis"),
            *("may mai mag maj май мая mei", "jun juin giu июн cze haz", "jul juil lug июл lip tem", "aug ago aoû авг sie ağu"),
            *("sep set сен wrz eyl", "oct okt ott out окт paź eki", "nov ноя lis kas", "dec dez dic déc дек gru ara des"),
        ),
        start=1,
    )
    for name in names.split()
}
_TIME = r"(?:[T\s,]+(?P<hour>\d{1,2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,]\d+)?)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?"
_ZONE = r"(?:\s*(?:Z|UTC|GMT|[A-Z]{2,5}|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?|[A-Z][a-z]+/\w+|\(.*\)|\[.*\]))*"
_WEEKDAY = r"(?:[^\W\d]{2,10}\.?,?\s+)?"
_YEAR_FIRST = re.compile(
    rf"{_WEEKDAY}(?P<year>\d{{4}})(?P<mark>[-/. ]|(?=\d{{4}}(?!\d)))(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_TIME}{_ZONE}"
)
_NUMBERS = re.compile(
    rf"{_WEEKDAY}(?P<one>\d{{1,2}})(?P<mark>[-/. ])(?P<two>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}|\d{{2}}){_TIME}{_ZONE}"
)
_DAY_NAME = re.compile(
    rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?[-\s/]*(?:de\s+)?(?P<name>[^\W\d]{{3,10}})\.?[-\s/,]*(?:de\s+)?"
    rf"(?P<year>\d{{4}}|\d{{2}}){_TIME}{_ZONE}"
)
_NAME_DAY = re.compile(
    rf"{_WEEKDAY}(?P<name>[^\W\d]{{3,10}})\.?[-\s/]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-\s/,]+(?P<year>\d{{4}}){_TIME}{_ZONE}"
)
_DIGITS = re.compile(r"\d+(?:\.\d*)?(?:[eE]\+?\d+)?")
_CHINESE = str.maketrans({"年": "-", "月": "-", "日": " ", "号": " "})
MAX_ORDERED = 5000
"""The most dates whose order is looked at."""


@dataclass(slots=True)
class DateEvidence:
    """How the dates of one column are written, collected block by block."""

    cells: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    """Cells that tell their form, by form; "either" for 01/02/2021."""
    marks: Counter[str] = field(default_factory=Counter)
    """The signs between day and month where numbers may be either."""
    ordered: list[tuple[int, int, int]] = field(default_factory=list)
    """(first number, second number, year) of the first such dates, in the order of the rows."""

    def add(self, cells: Series) -> None:
        if pd.api.types.is_datetime64_any_dtype(cells):
            self.cells += int(cells.notna().sum())
            self.forms["iso"] += int(cells.notna().sum())
            return
        for text in _texts(cells):
            if text.lower() in MISSING_WORDS:
                continue
            self.cells += 1
            if numbers := _NUMBERS.fullmatch(text):
                one, two = int(numbers["one"]), int(numbers["two"])
                form = "day_first" if one > 12 >= two else "month_first" if two > 12 >= one else "either"
                self.forms[form] += 1
                self.marks[numbers["mark"]] += 1
                if len(self.ordered) < MAX_ORDERED:
                    self.ordered.append((one, two, _full_year(numbers["year"])))
            else:
                self.forms[_form_of_number(text) or ("iso" if _read(text, "iso") else "")] += 1

    def form(self) -> DateForm | None:
        """The form of the column; None if day and month may be either."""
        recognized = Counter({form: count for form, count in self.forms.items() if form not in ("", "either")})
        either = self.forms["either"]
        if not either:
            return recognized.most_common(1)[0][0] if recognized else "iso"  # type: ignore[return-value]
        if recognized["day_first"] != recognized["month_first"]:
            return "day_first" if recognized["day_first"] > recognized["month_first"] else "month_first"
        if sum(recognized.values()) > either:
            return recognized.most_common(1)[0][0]  # type: ignore[return-value]
        return self._form_by_order()

    def _form_by_order(self) -> DateForm | None:
        """The form in which the dates run up or down from row to row; with points between numbers the day is first."""
        if all(one == two for one, two, _ in self.ordered) or self.marks.most_common(1)[0][0] == ".":
            return "day_first"
        runs = list[DateForm]()
        for form in ("day_first", "month_first"):
            days = [(year, two, one) if form == "day_first" else (year, one, two) for one, two, year in self.ordered]
            steps = [(later > earlier) - (later < earlier) for earlier, later in pairwise(days)]
            if len(days) > 2 and (min(steps) >= 0 or max(steps) <= 0):
                runs.append(form)
        return runs[0] if len(runs) == 1 else None


def read_dates(cells: Series, form: DateForm = "iso") -> Series:
    """The dates with their time of day, as written, without zone; NaT for what is no date of `FIRST_YEAR` to `LAST_YEAR`."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        dates = cells.dt.tz_localize(None) if isinstance(cells.dtype, pd.DatetimeTZDtype) else cells
        dates = dates.where(dates.dt.year.between(FIRST_YEAR, LAST_YEAR))
        return dates.astype("datetime64[ns]")
    texts = pd.Series(_texts(cells), index=cells.index, dtype=object)
    parsed = {text: _read(text, form) for text in texts.unique()}
    return pd.Series([parsed[text] for text in texts], index=cells.index).astype("datetime64[ns]")


def _texts(cells: Series) -> list[str]:
    if pd.api.types.is_numeric_dtype(cells):
        return ["" if value != value else str(int(value)) if float(value).is_integer() else str(value) for value in cells]
    return [tidy(text).translate(_CHINESE).strip() for text in cells.astype(object).where(cells.notna(), "").astype(str)]


def _form_of_number(text: str) -> DateForm | None:
    """The unit of a number since 1970 or of a spreadsheet; None for eight digits that are year, month and day."""
    if not _DIGITS.fullmatch(text):
        return None
    number = float(text)
    if _YEAR_FIRST.fullmatch(text) and _read(text, "iso"):
        return None
    for unit, scale in _UNITS.items():
        if _MIN_EPOCH * scale <= number < _MAX_EPOCH * scale and (scale == 1 or number >= _MAX_EPOCH * scale / 1000):
            return unit
    return "excel" if _EXCEL_DAYS[0] <= number <= _EXCEL_DAYS[1] else None


def _read(text: str, form: DateForm) -> datetime | None:
    """One date; None if it is none in this form. Month names and a year in front are read in each form of text."""
    try:
        if form in _UNITS or form == "excel":
            if not _DIGITS.fullmatch(text):
                return None
            number = float(text)
            days = number if form == "excel" else number / _UNITS[form] / 86_400
            start = datetime(1899, 12, 30) if form == "excel" else datetime(1970, 1, 1)
            date = start + timedelta(seconds=round(days * 86_400))
        elif match := _YEAR_FIRST.fullmatch(text):
            date = _date(match, int(match["year"]), int(match["month"]), int(match["day"]))
        elif (match := _NUMBERS.fullmatch(text)) and form != "iso":
            one, two = int(match["one"]), int(match["two"])
            month, day = (two, one) if form == "day_first" else (one, two)
            date = _date(match, _full_year(match["year"]), month, day)
        elif match := _DAY_NAME.fullmatch(text) or _NAME_DAY.fullmatch(text):
            name = match["name"].lower()
            date = _date(
                match, _full_year(match["year"]), _MONTHS.get(name[:3], 0) or _MONTHS.get(name[:4], 0), int(match["day"])
            )
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return date if FIRST_YEAR <= date.year <= LAST_YEAR else None


def _date(match: re.Match[str], year: int, month: int, day: int) -> datetime:
    hour = int(match["hour"] or 0)
    if half := (match["half"] or "").lower():
        hour = hour % 12 + 12 * half.startswith("p")
    if hour == 24:
        hour = 0
    return datetime(year, month, day, hour, int(match["minute"] or 0), int(match["second"] or 0))


def _full_year(text: str) -> int:
    """Two digits are 1969 to 2068, as POSIX reads them."""
    year = int(text)
    return year if len(text) == 4 else year + (1900 if year >= 69 else 2000)
