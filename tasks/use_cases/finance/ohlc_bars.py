"""Daily prices: which bars can be true, what each day measured, and what was known on its evening.

A bar is one trading day of one series: open, high, low, close, and volume. Measures are in percent and squared percent.
Whatever looks at neighbours looks back, but for `next_day_targets`, which makes the targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
"""Largest high over low of a day that is believed."""
MISPRINT = np.log(2)
"""A close that leaves both its neighbours by more than this (logarithm), the same way, is a slip of the pen: a comma moved."""
MAX_PAUSE_DAYS = 7
"""Calendar days to the next bar after which it no longer counts as the next trading day: the longest closing since 1990."""
SPLIT_RATIOS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)
"""So many new shares for one old, or one new for so many old."""
SPLIT_TOLERANCE = 0.02
"""Share by which a day's open may miss the last close, divided so, and still be a split."""
MAX_SPLIT_DAY_RANGES = 3.0
"""A day whose range is over so many times the usual of the month before moved in truth: then it is no split but a crash."""
EWMA_DECAY = 0.94
"""Of the exponentially weighted mean, as J.P. Morgan's RiskMetrics (1996) has it for daily data."""
TAIL_DAYS = 500
DEFAULT_TAILS = {0.05: 2.0, 0.01: 3.1}
"""Of share indices; what a series that is younger than a year is taken to have."""
MISSING_VALUES = ("", "nan", "null", "none", "na", "n/a", "-")
"""What people write where there is no value."""
MIN_CALENDAR_SERIES = 3
"""Series from which the days of trading can be told."""
MIN_VARIANCE = 1e-3
"""Squared percent below which a day's range shows only how prices are rounded."""


def garman_klass(high: Any, low: Any, move: Any) -> Any:
    """The variance of a day, in squared percent, from high, low and close over the open (logarithms in percent).

    M. Garman, M. Klass, Journal of Business 53, 1980: about 7 times as exact as the squared return, without the gap
    since the last close. At least `MIN_VARIANCE`.
    """
    return np.maximum(0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * move**2, MIN_VARIANCE)


def clean_bars(rows: DataFrame, *, today: pd.Timestamp, max_bar_error: float) -> DataFrame:
    """Whether each bar can be true by itself. `rows` holds `date`, the prices and `volume`, as they came.

    Returns, row by row, `date`, the prices and `volume` as numbers, `fault` and `fix` as in `UseCase.clean_partition`. No move
    is too large to be true: the worst days are what a forecast of risk is for. A high that misses the open or the close
    by at most `max_bar_error` (a share) is raised to it, such a low is lowered.
    """
    said = RowFindings(len(rows))
    date = parse_dates(rows["date"])
    bars = pd.DataFrame({name: parse_numbers(rows[name]) for name in (*PRICES, "volume")}, index=rows.index).assign(date=date)
    said.fault(date.isna(), "unreadable-date: {!r}, expected YYYY-MM-DD", rows["date"])
    said.fault(date > today, "future-date: {:%Y-%m-%d} has not come yet", date)
    said.fault(date.dt.day_of_week > 4, "weekend: {:%A %Y-%m-%d} is no trading day", date)
    for name in PRICES:
        said.fault(is_missing(rows[name]), f"missing-{name}: the bar has none", date)
        said.fault(bars[name].isna(), f"unreadable-{name}: {{!r}}", rows[name])
        said.fault((bars[name] <= 0) | (bars[name] > MAX_PRICE), f"impossible-{name}: {{:g}}", bars[name])
    top, bottom = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
    said.fault(bars["low"] > bars["high"], "impossible-bar: its low {:g} is above its high", bars["low"])
    said.fault(bars["high"] < top * (1 - max_bar_error), "impossible-bar: its high {:g} is below open or close", bars["high"])
    said.fault(bars["low"] > bottom * (1 + max_bar_error), "impossible-bar: its low {:g} is above open or close", bars["low"])
    wide = bars["high"] > MAX_HIGH_LOW_RATIO * bars["low"]
    said.fault(wide, f"impossible-bar: its high {{:g}} is over {MAX_HIGH_LOW_RATIO:g} times its low", bars["high"])
    still = (bars["high"] == bars["low"]) & (bars["open"] == bars["close"])
    said.fault(still & (bars["volume"] == 0), "no-trade: volume 0 and one price, {:g}", bars["close"])
    said.fault(still, "stale: open, high, low and close are all {:g}", bars["close"])
    short, long = bars["high"] < top, bars["low"] > bottom
    said.fix(short, "raised-high: to open or close")
    said.fix(long, "lowered-low: to open or close")
    unsaid = ~(bars["volume"] > 0)
    said.fix(unsaid & ~is_missing(rows["volume"]), "unknown-volume: none can be right beside a price that moved")
    bars["high"], bars["low"] = bars["high"].mask(short, top), bars["low"].mask(long, bottom)
    bars["volume"] = bars["volume"].mask(unsaid)
    return bars.assign(fault=said.faults, fix=said.fixes)


def contradiction_errors(series: DataFrame) -> Series:
    """Why a bar cannot be believed beside one of the same day that came before it and says otherwise, empty if it can."""
    said = RowFindings(len(series))
    first = series.groupby("date")[list(PRICES)].transform("first")
    differs = (series[list(PRICES)] != first).any(axis=1)
    said.fault(differs, "contradiction: another bar of that day closes at {:g}", first["close"])
    return pd.Series(said.faults, index=series.index, dtype=object)


def neighbour_errors(series: DataFrame) -> Series:
    """Why a bar cannot be true beside its neighbours, empty if it can; `series` is one series in the order of time."""
    said = RowFindings(len(series))
    prices = series[list(PRICES)]
    again = (prices == prices.shift()).all(axis=1)
    said.fault(again, "stale: the same four prices as the trading day before, {:g}", series["close"])
    close = np.log(series["close"])
    before, after = close - close.shift(), close - close.shift(-1)
    slip = (np.sign(before) == np.sign(after)) & (before.abs() > MISPRINT) & (after.abs() > MISPRINT)
    said.fault(slip, "slip: the close {:g} is more than double or less than half of both its neighbours", series["close"])
    return pd.Series(said.faults, index=series.index, dtype=object)


def tail_multiples(variance: Floats, returns: Floats) -> Floats:
    """By how many volatilities the worst 5 % and 1 % of the last two years' days fell, as known on each day (T, 2).

    Volatility is the exponentially weighted mean of the days before. Filtered historical simulation (Barone-Adesi,
    Giannopoulos, Vosper, Journal of Futures Markets 19, 1999); `DEFAULT_TAILS` while a series is young.
    """
    before = pd.Series(variance).ewm(alpha=1 - EWMA_DECAY).mean().shift(1)
    fallen = (-pd.Series(returns) / np.sqrt(before)).rolling(TAIL_DAYS, min_periods=TAIL_DAYS // 2)
    found = [fallen.quantile(1 - level).clip(lower=1.0).fillna(usual) for level, usual in DEFAULT_TAILS.items()]
    return np.column_stack(found)


def split_ratios(series: DataFrame) -> Series:
    """What the step from the close before each bar was divided by because shares were split, 1 where they were not.

    `series` is in the order of time. Shares are split over night, on a day that is calm otherwise; prices from before are
    not rewritten, for all that is told of them later is told in relation to the last close.
    """
    step = series["open"] / series["close"].shift()
    spread = np.log(series["high"] / series["low"])
    calm = spread < MAX_SPLIT_DAY_RANGES * spread.shift().rolling(22, min_periods=5).median()
    found = pd.Series(1.0, index=series.index)
    for count in SPLIT_RATIOS:
        for ratio in (1 / count, count):
            found = found.mask(calm & ((step / ratio - 1).abs() < SPLIT_TOLERANCE), ratio)
    return found


def measure_bars(series: DataFrame) -> Floats:
    """What each day of one series measured, (T, len(BAR)); the first gap is 0. `series` is in the order of time."""
    opened = np.log(series["open"])
    bars = np.empty((len(series), len(BAR_FIELDS)))
    bars[:, GAP] = (opened - np.log(series["close"]).shift() - np.log(split_ratios(series))).fillna(0.0) * 100
    for place, name in ((HIGH, "high"), (LOW, "low"), (INTRADAY, "close")):
        bars[:, place] = (np.log(series[name]) - opened) * 100
    bars[:, WEEKDAY] = series["date"].dt.day_of_week
    variance = garman_klass(bars[:, HIGH], bars[:, LOW], bars[:, INTRADAY])
    bars[:, [TAIL_5, TAIL_1]] = tail_multiples(variance, bars[:, GAP] + bars[:, INTRADAY])
    bars[:, VIX] = np.log(series["fear"])
    bars[:, [SENTIMENT, NEWS_VOLUME]] = series[["mood", "buzz"]]
    return bars


def past_windows(bars: Floats, days: int, *, fear: bool) -> list[NDArray[np.float32] | None]:
    """For each day its own bar and those before it, flattened (days x BAR), oldest first.

    None while there are too few (the first bar of a series has no gap and does not count), and with `fear` also where the
    volatility index of one of them is not known.
    """
    flat = np.ascontiguousarray(bars, np.float32)
    unknown = np.cumsum(np.isnan(flat[:, VIX])) if fear else np.zeros(len(flat), int)
    whole = [end > days and unknown[end - 1] == unknown[end - days - 1] for end in range(1, len(flat) + 1)]
    return [flat[end - days : end].ravel() if good else None for end, good in enumerate(whole, start=1)]


def next_day_targets(series: DataFrame, bars: Floats) -> DataFrame:
    """The targets: `next_date`, `next_return` (close to close, percent) and `next_variance` (squared percent) of each day.

    Missing where there is no next day in `series`, or a pause so long that the day after it is no longer the next.
    """
    found = pd.DataFrame(index=series.index)
    found["next_date"] = series["date"].shift(-1)
    known = (found["next_date"] - series["date"]).dt.days <= MAX_PAUSE_DAYS
    variance = garman_klass(bars[:, HIGH], bars[:, LOW], bars[:, INTRADAY])
    for name, values in (("next_return", bars[:, GAP] + bars[:, INTRADAY]), ("next_variance", variance)):
        found[name] = pd.Series(values, index=series.index).shift(-1).where(known)
    found["next_date"] = found["next_date"].where(known)
    return found


def trading_days(rows: DataFrame) -> pd.DatetimeIndex | None:
    """Days on which most of the series traded that were listed then; none where there are too few series to tell."""
    spans = rows.groupby("ticker")["date"].agg(["min", "max"])
    if len(spans) < MIN_CALENDAR_SERIES:
        return None
    traded = rows.groupby("date")["ticker"].nunique()
    listed = [int(((spans["min"] <= day) & (spans["max"] >= day)).sum()) for day in traded.index]
    return pd.DatetimeIndex(traded.index[traded.to_numpy() * 2 > np.array(listed)])


def step_repairs(series: DataFrame, calendar: pd.DatetimeIndex | None) -> Series:
    """What the step from the bar before each bar bridges, empty if nothing: days on which others traded, a pause, a split."""
    said = RowFindings(len(series))
    said.fix(split_ratios(series) != 1.0, "split: the step from the last close is told in new shares")
    if calendar is not None:
        place = pd.Series(calendar.searchsorted(pd.DatetimeIndex(series["date"])), index=series.index)
        said.fix(place.diff() > 1, "missing-days: others traded since the bar before")
    pause = series["date"].diff().dt.days
    said.fix(pause > MAX_PAUSE_DAYS, "pause: longer than markets ever close since the bar before")
    return pd.Series(said.fixes, index=series.index, dtype=object)


def parse_dates(values: Series) -> Series:
    """Dates without a time of day; what is none becomes NaT. Text is read as YYYY-MM-DD, with or without a time."""
    if pd.api.types.is_datetime64_any_dtype(values):
        found = values
    else:
        found = pd.to_datetime(values.astype("string").str.strip(), format="ISO8601", errors="coerce", utc=True)
    if isinstance(found.dtype, pd.DatetimeTZDtype):
        found = found.dt.tz_localize(None)
    return found.dt.normalize().astype("datetime64[ns]")


def parse_numbers(values: Series) -> Series:
    """Floats; what is no finite number becomes NaN. Blanks and the commas between thousands are passed over."""
    if not pd.api.types.is_numeric_dtype(values):
        values = pd.to_numeric(values.astype("string").str.replace(r"[,\s]", "", regex=True), errors="coerce")
    found: Series = values.astype("float64")
    return found.where(np.isfinite(found))


def is_missing(values: Series) -> Series:
    """Whether nothing stands there: no value, a blank, or a word for nothing."""
    if pd.api.types.is_numeric_dtype(values):
        return values.isna()
    return values.isna() | values.astype("string").str.strip().str.lower().isin(MISSING_VALUES).fillna(True)


class RowFindings:
    """Row by row, the first fault found and all that was mended."""

    def __init__(self, rows: int) -> None:
        self.faults = np.full(rows, "", dtype=object)
        self.fixes = np.full(rows, "", dtype=object)

    def fault(self, where: Series, text: str, values: Series) -> None:
        """Note `text`, with the row's value in its braces, where nothing was noted yet."""
        for place in np.flatnonzero(where.fillna(False).to_numpy(bool) & (self.faults == "")):
            self.faults[place] = text.format(values.iloc[place])

    def fix(self, where: Series, text: str) -> None:
        """Note what was mended, beside what else was, on rows without a fault."""
        for place in np.flatnonzero(where.fillna(False).to_numpy(bool) & (self.faults == "")):
            self.fixes[place] = "; ".join(filter(None, [self.fixes[place], text]))
