"""Daily prices: which bars can be true, what each day measured, and what was known on its evening.

A bar is one trading day of one series: open, high, low, close, and volume. Measures are in percent and squared percent.
Whatever looks at neighbours looks back, but for `tomorrow`, which makes the targets.
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
BAR = ("gap", "high", "low", "move", "weekday", "tail_5", "tail_1", "fear", "mood", "buzz")
"""What is kept of a past day: the logarithms, in percent, of open over the last close and of high, low and close over the
open; the day of the week, Monday 0; how many volatilities the worst 5 % and 1 % of days fell by until then (see `tails`);
the logarithm of a volatility index at its close, and mood and number of what was written until then, NaN without."""
GAP, HIGH, LOW, MOVE, WEEKDAY, TAIL_5, TAIL_1, FEAR, MOOD, BUZZ = range(len(BAR))
MOST_PRICE = 1e12
MOST_RANGE = 10.0
"""Largest high over low of a day that is believed."""
SLIP = np.log(2)
"""A close that leaves both its neighbours by more than this (logarithm), the same way, is a slip of the pen: a comma moved."""
LONGEST_PAUSE_DAYS = 7
"""Calendar days to the next bar after which it no longer counts as the next trading day: the longest closing since 1990."""
SPLITS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)
"""So many new shares for one old, or one new for so many old."""
SPLIT_MISS = 0.02
"""Share by which a day's open may miss the last close, divided so, and still be a split."""
CALM_RANGES = 3.0
"""A day whose range is over so many times the usual of the month before moved in truth: then it is no split but a crash."""
DECAY = 0.94
"""Of the exponentially weighted mean, as J.P. Morgan's RiskMetrics (1996) has it for daily data."""
TAIL_DAYS = 500
USUAL_TAILS = {0.05: 2.0, 0.01: 3.1}
"""Of share indices; what a series that is younger than a year is taken to have."""
NOTHING = ("", "nan", "null", "none", "na", "n/a", "-")
"""What people write where there is no value."""
FEWEST_SERIES = 3
"""Series from which the days of trading can be told."""
LEAST_VARIANCE = 1e-3
"""Squared percent below which a day's range shows only how prices are rounded."""


def garman_klass(high: Any, low: Any, move: Any) -> Any:
    """The variance of a day, in squared percent, from high, low and close over the open (logarithms in percent).

    M. Garman, M. Klass, Journal of Business 53, 1980: about 7 times as exact as the squared return, without the gap
    since the last close. At least `LEAST_VARIANCE`.
    """
    return np.maximum(0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * move**2, LEAST_VARIANCE)


def clean_bars(rows: DataFrame, *, today: pd.Timestamp, max_bar_error: float) -> DataFrame:
    """Whether each bar can be true by itself. `rows` holds `date`, the prices and `volume`, as they came.

    Returns, row by row, `date`, the prices and `volume` as numbers, `fault` and `fix` as in `UseCase.clean_partition`. No move
    is too large to be true: the worst days are what a forecast of risk is for. A high that misses the open or the close
    by at most `max_bar_error` (a share) is raised to it, such a low is lowered.
    """
    said = Reasons(len(rows))
    date = as_dates(rows["date"])
    bars = pd.DataFrame({name: as_numbers(rows[name]) for name in (*PRICES, "volume")}, index=rows.index).assign(date=date)
    said.fault(date.isna(), "unreadable-date: {!r}, expected YYYY-MM-DD", rows["date"])
    said.fault(date > today, "future-date: {:%Y-%m-%d} has not come yet", date)
    said.fault(date.dt.day_of_week > 4, "weekend: {:%A %Y-%m-%d} is no trading day", date)
    for name in PRICES:
        said.fault(is_missing(rows[name]), f"missing-{name}: the bar has none", date)
        said.fault(bars[name].isna(), f"unreadable-{name}: {{!r}}", rows[name])
        said.fault((bars[name] <= 0) | (bars[name] > MOST_PRICE), f"impossible-{name}: {{:g}}", bars[name])
    top, bottom = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
    said.fault(bars["low"] > bars["high"], "impossible-bar: its low {:g} is above its high", bars["low"])
    said.fault(bars["high"] < top * (1 - max_bar_error), "impossible-bar: its high {:g} is below open or close", bars["high"])
    said.fault(bars["low"] > bottom * (1 + max_bar_error), "impossible-bar: its low {:g} is above open or close", bars["low"])
    wide = bars["high"] > MOST_RANGE * bars["low"]
    said.fault(wide, f"impossible-bar: its high {{:g}} is over {MOST_RANGE:g} times its low", bars["high"])
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


def contradictions(series: DataFrame) -> Series:
    """Why a bar cannot be believed beside one of the same day that came before it and says otherwise, empty if it can."""
    said = Reasons(len(series))
    first = series.groupby("date")[list(PRICES)].transform("first")
    differs = (series[list(PRICES)] != first).any(axis=1)
    said.fault(differs, "contradiction: another bar of that day closes at {:g}", first["close"])
    return pd.Series(said.faults, index=series.index, dtype=object)


def judge_beside(series: DataFrame) -> Series:
    """Why a bar cannot be true beside its neighbours, empty if it can; `series` is one series in the order of time."""
    said = Reasons(len(series))
    prices = series[list(PRICES)]
    again = (prices == prices.shift()).all(axis=1)
    said.fault(again, "stale: the same four prices as the trading day before, {:g}", series["close"])
    close = np.log(series["close"])
    before, after = close - close.shift(), close - close.shift(-1)
    slip = (np.sign(before) == np.sign(after)) & (before.abs() > SLIP) & (after.abs() > SLIP)
    said.fault(slip, "slip: the close {:g} is more than double or less than half of both its neighbours", series["close"])
    return pd.Series(said.faults, index=series.index, dtype=object)


def tails(variance: Floats, returns: Floats) -> Floats:
    """By how many volatilities the worst 5 % and 1 % of the last two years' days fell, as known on each day (T, 2).

    Volatility is the exponentially weighted mean of the days before. Filtered historical simulation (Barone-Adesi,
    Giannopoulos, Vosper, Journal of Futures Markets 19, 1999); `USUAL_TAILS` while a series is young.
    """
    before = pd.Series(variance).ewm(alpha=1 - DECAY).mean().shift(1)
    fallen = (-pd.Series(returns) / np.sqrt(before)).rolling(TAIL_DAYS, min_periods=TAIL_DAYS // 2)
    found = [fallen.quantile(1 - level).clip(lower=1.0).fillna(usual) for level, usual in USUAL_TAILS.items()]
    return np.column_stack(found)


def splits(series: DataFrame) -> Series:
    """What the step from the close before each bar was divided by because shares were split, 1 where they were not.

    `series` is in the order of time. Shares are split over night, on a day that is calm otherwise; prices from before are
    not rewritten, for all that is told of them later is told in relation to the last close.
    """
    step = series["open"] / series["close"].shift()
    spread = np.log(series["high"] / series["low"])
    calm = spread < CALM_RANGES * spread.shift().rolling(22, min_periods=5).median()
    found = pd.Series(1.0, index=series.index)
    for count in SPLITS:
        for ratio in (1 / count, count):
            found = found.mask(calm & ((step / ratio - 1).abs() < SPLIT_MISS), ratio)
    return found


def bars_of(series: DataFrame) -> Floats:
    """What each day of one series measured, (T, len(BAR)); the first gap is 0. `series` is in the order of time."""
    opened = np.log(series["open"])
    bars = np.empty((len(series), len(BAR)))
    bars[:, GAP] = (opened - np.log(series["close"]).shift() - np.log(splits(series))).fillna(0.0) * 100
    for place, name in ((HIGH, "high"), (LOW, "low"), (MOVE, "close")):
        bars[:, place] = (np.log(series[name]) - opened) * 100
    bars[:, WEEKDAY] = series["date"].dt.day_of_week
    variance = garman_klass(bars[:, HIGH], bars[:, LOW], bars[:, MOVE])
    bars[:, [TAIL_5, TAIL_1]] = tails(variance, bars[:, GAP] + bars[:, MOVE])
    bars[:, FEAR] = np.log(series["fear"])
    bars[:, [MOOD, BUZZ]] = series[["mood", "buzz"]]
    return bars


def pasts(bars: Floats, days: int, *, fear: bool) -> list[NDArray[np.float32] | None]:
    """For each day its own bar and those before it, flattened (days x BAR), oldest first.

    None while there are too few (the first bar of a series has no gap and does not count), and with `fear` also where the
    volatility index of one of them is not known.
    """
    flat = np.ascontiguousarray(bars, np.float32)
    unknown = np.cumsum(np.isnan(flat[:, FEAR])) if fear else np.zeros(len(flat), int)
    whole = [end > days and unknown[end - 1] == unknown[end - days - 1] for end in range(1, len(flat) + 1)]
    return [flat[end - days : end].ravel() if good else None for end, good in enumerate(whole, start=1)]


def tomorrow(series: DataFrame, bars: Floats) -> DataFrame:
    """The targets: `next_date`, `next_return` (close to close, percent) and `next_variance` (squared percent) of each day.

    Missing where there is no next day in `series`, or a pause so long that the day after it is no longer the next.
    """
    found = pd.DataFrame(index=series.index)
    found["next_date"] = series["date"].shift(-1)
    known = (found["next_date"] - series["date"]).dt.days <= LONGEST_PAUSE_DAYS
    variance = garman_klass(bars[:, HIGH], bars[:, LOW], bars[:, MOVE])
    for name, values in (("next_return", bars[:, GAP] + bars[:, MOVE]), ("next_variance", variance)):
        found[name] = pd.Series(values, index=series.index).shift(-1).where(known)
    found["next_date"] = found["next_date"].where(known)
    return found


def trading_days(rows: DataFrame) -> pd.DatetimeIndex | None:
    """Days on which most of the series traded that were listed then; none where there are too few series to tell."""
    spans = rows.groupby("ticker")["date"].agg(["min", "max"])
    if len(spans) < FEWEST_SERIES:
        return None
    traded = rows.groupby("date")["ticker"].nunique()
    listed = [int(((spans["min"] <= day) & (spans["max"] >= day)).sum()) for day in traded.index]
    return pd.DatetimeIndex(traded.index[traded.to_numpy() * 2 > np.array(listed)])


def bridges(series: DataFrame, calendar: pd.DatetimeIndex | None) -> Series:
    """What the step from the bar before each bar bridges, empty if nothing: days on which others traded, a pause, a split."""
    said = Reasons(len(series))
    said.fix(splits(series) != 1.0, "split: the step from the last close is told in new shares")
    if calendar is not None:
        place = pd.Series(calendar.searchsorted(pd.DatetimeIndex(series["date"])), index=series.index)
        said.fix(place.diff() > 1, "missing-days: others traded since the bar before")
    pause = series["date"].diff().dt.days
    said.fix(pause > LONGEST_PAUSE_DAYS, "pause: longer than markets ever close since the bar before")
    return pd.Series(said.fixes, index=series.index, dtype=object)


def as_dates(values: Series) -> Series:
    """Dates without a time of day; what is none becomes NaT. Text is read as YYYY-MM-DD, with or without a time."""
    if pd.api.types.is_datetime64_any_dtype(values):
        found = values
    else:
        found = pd.to_datetime(values.astype("string").str.strip(), format="ISO8601", errors="coerce", utc=True)
    if isinstance(found.dtype, pd.DatetimeTZDtype):
        found = found.dt.tz_localize(None)
    return found.dt.normalize().astype("datetime64[ns]")


def as_numbers(values: Series) -> Series:
    """Floats; what is no finite number becomes NaN. Blanks and the commas between thousands are passed over."""
    if not pd.api.types.is_numeric_dtype(values):
        values = pd.to_numeric(values.astype("string").str.replace(r"[,\s]", "", regex=True), errors="coerce")
    found: Series = values.astype("float64")
    return found.where(np.isfinite(found))


def is_missing(values: Series) -> Series:
    """Whether nothing stands there: no value, a blank, or a word for nothing."""
    if pd.api.types.is_numeric_dtype(values):
        return values.isna()
    return values.isna() | values.astype("string").str.strip().str.lower().isin(NOTHING).fillna(True)


class Reasons:
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
