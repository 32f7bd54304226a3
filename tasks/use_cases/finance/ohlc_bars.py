"""OHLC bars: validation, realized variance, stock splits, past windows and the next day's targets.

A bar is one trading day of one series: open, high, low, close and volume. Returns are in percent, variances in squared percent.
Features use a day and those before it only; `next_day_targets` alone looks ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.data.date_cells import FIRST_YEAR, LAST_YEAR
from tasks.data.number_cells import is_missing
from tasks.use_cases.finance import price_formats

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

    Floats = NDArray[np.float64]

PRICES = ("open", "high", "low", "close")
BAR_FIELDS = ("gap", "high", "low", "move", "weekday", "tail_5", "tail_1", "fear", "mood", "buzz")
"""The fields of a past day. `gap`, `high`, `low`, `move`: logarithms, in percent, of the open over the previous close and of
high, low and close over the open. `weekday`: Monday is 0. `tail_5`, `tail_1`: see `tail_multiples`. `fear`: the logarithm of a
volatility index at the close. `mood`, `buzz`: sentiment and log number of the texts until the close. NaN where unknown."""
GAP, HIGH, LOW, INTRADAY, WEEKDAY, TAIL_5, TAIL_1, VIX, SENTIMENT, NEWS_VOLUME = range(len(BAR_FIELDS))
MAX_PRICE = 1e12
MAX_HIGH_LOW_RATIO = 10.0
"""Largest valid ratio of a day's high to its low."""
MISPRINT = np.log(2)
"""A close further than this (logarithm) from both its neighbours, in the same direction, is a misprint: a moved decimal point."""
MAX_PAUSE_DAYS = 7
"""Longest gap in calendar days between two trading days in a row: the longest market closing since 1990."""
SPLIT_RATIOS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)
"""New shares per old share, or old shares per new share."""
SPLIT_TOLERANCE = 0.02
"""Largest relative difference of the open from the adjusted previous close on the day of a split."""
MAX_SPLIT_DAY_RANGES = 3.0
"""A day with a range above this multiple of the previous month's median range is a real move and no split."""
EWMA_DECAY = 0.94
"""Decay of the exponentially weighted mean per day (J.P. Morgan, RiskMetrics, 1996)."""
TAIL_DAYS = 500
DEFAULT_TAILS = {0.05: 2.0, 0.01: 3.1}
"""Tail multiples of stock indices, for series with less than a year of data."""
MIN_CALENDAR_SERIES = 3
"""Number of series from which a trading calendar can be derived."""
MIN_VARIANCE = 1e-3
"""Lower bound of a day's variance, in squared percent: below it the range shows only the rounding of prices."""


def garman_klass(high: Any, low: Any, intraday: Any) -> Any:
    """The realized variance of a day in squared percent, from high, low and close over the open (logarithms in percent).

    M. Garman, M. Klass, Journal of Business 53, 1980: about 7 times as efficient as the squared return. The gap since the
    previous close is not part of it. At least `MIN_VARIANCE`.
    """
    return np.maximum(0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * intraday**2, MIN_VARIANCE)


def clean_bars(rows: DataFrame, *, today: pd.Timestamp, max_bar_error: float) -> DataFrame:
    """Validate each bar by itself. `rows` holds raw `date`, prices and `volume`.

    Returns, row by row, `date`, the prices and `volume` as numbers, and `fault` and `fix` as in `UseCase.clean_partition`. No
    return is too large: forecasts of risk are for the worst days. A high below the open or the close by at most the share
    `max_bar_error` is raised to it, and such a low is lowered.
    """
    findings = RowFindings(len(rows))
    date = price_formats.bar_dates(rows)
    numbers = {name: price_formats.bar_numbers(rows, name) for name in (*PRICES, "volume")}
    bars = pd.DataFrame(numbers, index=rows.index).assign(date=date)
    wrong_date = f"unreadable-date: {{!r}}, expected YYYY-MM-DD of the years {FIRST_YEAR} to {LAST_YEAR}"
    findings.error(date.isna(), wrong_date, rows["date"])
    findings.error(date > today, "future-date: {:%Y-%m-%d} has not come yet", date)
    weekend = (date.dt.day_of_week > 4) & ~price_formats.trades_on_weekends(rows)
    findings.error(weekend, "weekend: {:%A %Y-%m-%d} is no trading day (fetch.calendar is weekdays)", date)
    for name in PRICES:
        findings.error(is_missing(rows[name]), f"missing-{name}: the bar has none", date)
        findings.error(bars[name].isna(), f"unreadable-{name}: {{!r}}", rows[name])
        findings.error((bars[name] <= 0) | (bars[name] > MAX_PRICE), f"impossible-{name}: {{:g}}", bars[name])
    top, bottom = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
    findings.error(bars["low"] > bars["high"], "impossible-bar: its low {:g} is above its high", bars["low"])
    findings.error(bars["high"] < top * (1 - max_bar_error), "impossible-bar: its high {:g} is below open or close", bars["high"])
    findings.error(bars["low"] > bottom * (1 + max_bar_error), "impossible-bar: its low {:g} is above open or close", bars["low"])
    wide = bars["high"] > MAX_HIGH_LOW_RATIO * bars["low"]
    findings.error(wide, f"impossible-bar: its high {{:g}} is over {MAX_HIGH_LOW_RATIO:g} times its low", bars["high"])
    unchanged = (bars["high"] == bars["low"]) & (bars["open"] == bars["close"])
    findings.error(unchanged & (bars["volume"] == 0), "no-trade: volume 0 and one price, {:g}", bars["close"])
    findings.error(unchanged, "stale: open, high, low and close are all {:g}", bars["close"])
    high_too_low, low_too_high = bars["high"] < top, bars["low"] > bottom
    findings.repair(high_too_low, "raised-high: to open or close")
    findings.repair(low_too_high, "lowered-low: to open or close")
    unknown_volume = ~(bars["volume"] > 0)
    findings.repair(unknown_volume & ~is_missing(rows["volume"]), "unknown-volume: none can be right beside a price that moved")
    bars["high"], bars["low"] = bars["high"].mask(high_too_low, top), bars["low"].mask(low_too_high, bottom)
    bars["volume"] = bars["volume"].mask(unknown_volume)
    return bars.assign(fault=findings.errors, fix=findings.repairs)


def contradiction_errors(series: DataFrame) -> Series:
    """The error of each bar that differs from an earlier bar of the same day, else empty."""
    findings = RowFindings(len(series))
    first = series.groupby("date")[list(PRICES)].transform("first")
    differs = (series[list(PRICES)] != first).any(axis=1)
    findings.error(differs, "contradiction: another bar of that day closes at {:g}", first["close"])
    return pd.Series(findings.errors, index=series.index, dtype=object)


def neighbour_errors(series: DataFrame) -> Series:
    """The error of each bar that is wrong beside its neighbours, else empty; `series` is one series in the order of time."""
    findings = RowFindings(len(series))
    prices = series[list(PRICES)]
    repeated = (prices == prices.shift()).all(axis=1)
    findings.error(repeated, "stale: the same four prices as the trading day before, {:g}", series["close"])
    close = np.log(series["close"])
    before, after = close - close.shift(), close - close.shift(-1)
    misprint = (np.sign(before) == np.sign(after)) & (before.abs() > MISPRINT) & (after.abs() > MISPRINT)
    findings.error(misprint, "slip: the close {:g} is more than double or less than half of both its neighbours", series["close"])
    return pd.Series(findings.errors, index=series.index, dtype=object)


def tail_multiples(variance: Floats, returns: Floats) -> Floats:
    """The losses at the 5 % and 1 % quantiles of the last two years, in volatilities, as known on each day, (T, 2).

    Volatility is the exponentially weighted mean of the days before. Filtered historical simulation (Barone-Adesi,
    Giannopoulos, Vosper, Journal of Futures Markets 19, 1999); `DEFAULT_TAILS` while a series is short.
    """
    before = pd.Series(variance).ewm(alpha=1 - EWMA_DECAY).mean().shift(1)
    losses = (-pd.Series(returns) / np.sqrt(before)).rolling(TAIL_DAYS, min_periods=TAIL_DAYS // 2)
    multiples = [losses.quantile(1 - level).clip(lower=1.0).fillna(default) for level, default in DEFAULT_TAILS.items()]
    return np.column_stack(multiples)


def split_ratios(series: DataFrame) -> Series:
    """The stock split ratio between the previous close and each bar, 1 without a split.

    `series` is in the order of time. A split happens overnight and on a calm day. Earlier prices are not adjusted, since all
    features are relative to the previous close.
    """
    step = series["open"] / series["close"].shift()
    ranges = np.log(series["high"] / series["low"])
    calm = ranges < MAX_SPLIT_DAY_RANGES * ranges.shift().rolling(22, min_periods=5).median()
    ratios = pd.Series(1.0, index=series.index)
    for count in SPLIT_RATIOS:
        for ratio in (1 / count, count):
            ratios = ratios.mask(calm & ((step / ratio - 1).abs() < SPLIT_TOLERANCE), ratio)
    return ratios


def measure_bars(series: DataFrame) -> Floats:
    """The `BAR_FIELDS` of each day, (T, len(BAR_FIELDS)); the first gap is 0. `series` is one series in the order of time."""
    log_open = np.log(series["open"])
    bars = np.empty((len(series), len(BAR_FIELDS)))
    bars[:, GAP] = (log_open - np.log(series["close"]).shift() - np.log(split_ratios(series))).fillna(0.0) * 100
    for place, name in ((HIGH, "high"), (LOW, "low"), (INTRADAY, "close")):
        bars[:, place] = (np.log(series[name]) - log_open) * 100
    bars[:, WEEKDAY] = series["date"].dt.day_of_week
    variance = garman_klass(bars[:, HIGH], bars[:, LOW], bars[:, INTRADAY])
    bars[:, [TAIL_5, TAIL_1]] = tail_multiples(variance, bars[:, GAP] + bars[:, INTRADAY])
    bars[:, VIX] = np.log(series["fear"])
    bars[:, [SENTIMENT, NEWS_VOLUME]] = series[["mood", "buzz"]]
    return bars


def past_windows(bars: Floats, days: int, *, fear: bool) -> list[NDArray[np.float32] | None]:
    """For each day the window of its bar and those before it, flattened (days x BAR_FIELDS), oldest first.

    None while there are too few bars (the first bar of a series has no gap and does not count). With `fear` also None where the
    volatility index of a day in the window is unknown.
    """
    values = np.ascontiguousarray(bars, np.float32)
    num_unknown = np.cumsum(np.isnan(values[:, VIX])) if fear else np.zeros(len(values), int)
    complete = [end > days and num_unknown[end - 1] == num_unknown[end - days - 1] for end in range(1, len(values) + 1)]
    return [values[end - days : end].ravel() if is_complete else None for end, is_complete in enumerate(complete, start=1)]


def next_day_targets(series: DataFrame, bars: Floats) -> DataFrame:
    """The targets of each day: `next_date`, `next_return` (close to close, percent) and `next_variance` (squared percent).

    Missing without a next day in `series`, and where the next day is more than `MAX_PAUSE_DAYS` later.
    """
    targets = pd.DataFrame(index=series.index)
    targets["next_date"] = series["date"].shift(-1)
    is_next = (targets["next_date"] - series["date"]).dt.days <= MAX_PAUSE_DAYS
    variance = garman_klass(bars[:, HIGH], bars[:, LOW], bars[:, INTRADAY])
    for name, values in (("next_return", bars[:, GAP] + bars[:, INTRADAY]), ("next_variance", variance)):
        targets[name] = pd.Series(values, index=series.index).shift(-1).where(is_next)
    targets["next_date"] = targets["next_date"].where(is_next)
    return targets


def trading_days(rows: DataFrame) -> pd.DatetimeIndex | None:
    """Days on which most of the series listed on that day traded; None with fewer than `MIN_CALENDAR_SERIES` series."""
    listings = rows.groupby("ticker")["date"].agg(["min", "max"])
    if len(listings) < MIN_CALENDAR_SERIES:
        return None
    traded = rows.groupby("date")["ticker"].nunique()
    listed = [int(((listings["min"] <= day) & (listings["max"] >= day)).sum()) for day in traded.index]
    return pd.DatetimeIndex(traded.index[traded.to_numpy() * 2 > np.array(listed)])


def step_repairs(series: DataFrame, calendar: pd.DatetimeIndex | None) -> Series:
    """Remarks about the step from the previous bar, else empty: a split, missing trading days, a long pause."""
    findings = RowFindings(len(series))
    findings.repair(split_ratios(series) != 1.0, "split: the step from the last close is told in new shares")
    if calendar is not None:
        position = pd.Series(calendar.searchsorted(pd.DatetimeIndex(series["date"])), index=series.index)
        findings.repair(position.diff() > 1, "missing-days: others traded since the bar before")
    pause = series["date"].diff().dt.days
    findings.repair(pause > MAX_PAUSE_DAYS, "pause: longer than markets ever close since the bar before")
    return pd.Series(findings.repairs, index=series.index, dtype=object)


class RowFindings:
    """Collects, row by row, the first error and all repairs."""

    def __init__(self, rows: int) -> None:
        self.errors = np.full(rows, "", dtype=object)
        self.repairs = np.full(rows, "", dtype=object)

    def error(self, where: Series, text: str, values: Series) -> None:
        """Set the error `text`, formatted with the row's value, on rows without an error."""
        for row in np.flatnonzero(where.fillna(False).to_numpy(bool) & (self.errors == "")):
            value = values.iloc[row]
            self.errors[row] = text.format(value.item() if isinstance(value, np.generic) else value)

    def repair(self, where: Series, text: str) -> None:
        """Add a repair or remark on rows without an error."""
        for row in np.flatnonzero(where.fillna(False).to_numpy(bool) & (self.errors == "")):
            self.repairs[row] = "; ".join(filter(None, [self.repairs[row], text]))
