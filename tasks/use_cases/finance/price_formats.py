"""How a file of prices is written: its dates, its numbers, and the days and hours on which its market trades.

All is found once per file, from all its rows, and stored with each row as JSON (column `format`); packaged prices need none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from tasks.core.errors import UserError
from tasks.data.date_cells import FORM_WORDS, DateEvidence, DateForm, read_dates
from tasks.data.number_cells import Decimal, NumberEvidence, NumberFormat, read_numbers

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Calendar = Literal["weekdays", "every_day", "hourly"]
"""The bars of a market: on weekdays, on every day of the week, or several a day."""
PRICES = ("open", "high", "low", "close")
MIN_WEEKEND_SHARE = 0.1
"""Share of bars on Saturdays and Sundays from which a market trades on every day; 2 of 7 if it never closes."""
MIN_EARLY_DAYS = 20
"""As many days with one price at the beginning of a series were recorded without a range."""
MAX_DAY_SHARE = 0.6
"""Fewer different days than this share of the different times: several bars a day."""


@dataclass(frozen=True, slots=True)
class PriceFormat:
    """How the rows of one file are written."""

    dates: DateForm = "iso"
    prices: NumberFormat = field(default_factory=NumberFormat)
    volume: NumberFormat = field(default_factory=NumberFormat)
    calendar: Calendar = "weekdays"

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> PriceFormat:
        entries = json.loads(text)
        prices, volume = (NumberFormat.from_json(entries[name]) for name in ("prices", "volume"))
        return cls(entries["dates"], prices, volume, entries["calendar"])


class PriceEvidence:
    """Collects how the rows of one file are written."""

    def __init__(self) -> None:
        self.dates, self.prices, self.volume = DateEvidence(), NumberEvidence(), NumberEvidence()
        self._days: list[DataFrame] = []

    def add(self, rows: DataFrame) -> None:
        """Count the cells of these rows, with their raw columns."""
        self.dates.add(rows["date"])
        for name in PRICES:
            self.prices.add(rows[name])
        self.volume.add(rows["volume"])
        close = rows["close"]
        one_price = (close == rows["open"]) & (close == rows["high"]) & (close == rows["low"]) & (close != "")
        self._days.append(rows[["ticker", "date"]].assign(one_price=one_price))

    def format(
        self,
        path: Path,
        *,
        dates: str = "auto",
        decimal: Decimal | None = None,
        calendar: str = "auto",
        usual: Decimal = ".",
    ) -> tuple[PriceFormat, list[str]]:
        """The format of the file and sentences on it; what is not "auto" is told. `usual` is the decimal sign of such files."""
        form = self.dates.form() if dates == "auto" else dates
        if form is None:
            raise UserError(
                f"{path}: dates such as {self._example()!r} may begin with the day or the month; "
                "set fetch.dates=day_first or fetch.dates=month_first"
            )
        prices = self.prices.format(decimal, self.volume.own_decimal() or usual)
        volume = self.volume.format(decimal, prices.decimal)
        detected: Calendar = self._calendar(form) if calendar == "auto" else calendar  # type: ignore[assignment,arg-type]
        notes = [f"dates read with {FORM_WORDS[form]}"] if form != "iso" and self.dates.forms[form] else []  # type: ignore[index]
        for name, evidence, numbers in (("prices", self.prices, prices), ("volume", self.volume, volume)):
            if words := evidence.words(numbers):
                doubt = " (set fetch.decimal if that is wrong)" if evidence.is_ambiguous else ""
                notes.append(f"{name} read with {words}{doubt}")
        if unread := self.volume.cells - self.volume.readable(volume):
            notes.append(f"volume: {unread:,} of {self.volume.cells:,} cells are no numbers and count as missing")
        if detected != "weekdays":
            words = {"every_day": "a market of seven days", "hourly": "several bars a day"}[detected]
            notes.append(f"{words} (calendar {detected})")
        return PriceFormat(form, prices, volume, detected), notes  # type: ignore[arg-type]

    def days_without_range(self, form: DateForm) -> dict[str, tuple[pd.Timestamp, int]]:
        """Per ticker the first day with a range, and how many days before have one price, if they are `MIN_EARLY_DAYS` or more.

        Old indices begin with closes alone: their open, high and low are copies of it.
        """
        bars = pd.concat(self._days)
        bars = bars.assign(time=read_dates(bars["date"], form))[lambda rows: rows["time"].notna()]
        if bars["one_price"].all():  # also where there are no days
            return {}
        first = bars[~bars["one_price"]].groupby("ticker")["time"].min()
        early = bars[bars["time"] < bars["ticker"].map(first)].groupby("ticker").size()
        return {str(name): (first[name], int(count)) for name, count in early.items() if count >= MIN_EARLY_DAYS}

    def _example(self) -> str:
        return str(pd.concat(self._days)["date"].iloc[0])[:40]

    def _calendar(self, form: DateForm) -> Calendar:
        bars = pd.concat(self._days)
        time = read_dates(bars["date"], form)
        bars = bars.assign(time=time, day=time.dt.normalize())[time.notna().to_numpy()]
        if not len(bars):
            return "weekdays"
        times, days = len(bars[["ticker", "time"]].drop_duplicates()), len(bars[["ticker", "day"]].drop_duplicates())
        if days < MAX_DAY_SHARE * times:
            return "hourly"
        return "every_day" if (bars["day"].dt.day_of_week > 4).mean() >= MIN_WEEKEND_SHARE else "weekdays"


def formats(rows: DataFrame) -> Series:
    """The text of each row's format; empty for packaged prices."""
    return rows["format"].astype(str) if "format" in rows else pd.Series("", index=rows.index)


def bar_dates(rows: DataFrame) -> Series:
    """The date of each bar, with its time of day only where there are several bars a day; NaT for what is no date."""
    parts = []
    for text, group in rows.groupby(formats(rows), sort=False):
        form = PriceFormat.from_json(str(text)) if text else PriceFormat()
        dates = read_dates(group["date"], form.dates)
        parts.append(dates if form.calendar == "hourly" else dates.dt.normalize())
    return _joined(parts, rows, "datetime64[ns]")


def bar_numbers(rows: DataFrame, name: str) -> Series:
    """The numbers of a column of prices or of the volume; NaN for all but finite ones."""
    parts = []
    for text, group in rows.groupby(formats(rows), sort=False):
        form = PriceFormat.from_json(str(text)) if text else PriceFormat()
        numbers = read_numbers(group[name], form.volume if name == "volume" else form.prices)
        parts.append(numbers.where(numbers.abs() < float("inf")))
    return _joined(parts, rows, "float64")


def trades_on_weekends(rows: DataFrame) -> Series:
    """Whether the market of each row trades on every day of the week."""
    calendars = {text: PriceFormat.from_json(text).calendar if text else "weekdays" for text in formats(rows).unique()}
    weekends: Series = formats(rows).map(calendars) != "weekdays"
    return weekends


def _joined(parts: Sequence[Series], rows: DataFrame, kind: str) -> Series:
    return pd.concat(parts).reindex(rows.index).astype(kind) if parts else pd.Series([], index=rows.index, dtype=kind)
