"""The classic forecasts of tomorrow's variance, from the last value to GARCH: fitted on train rows, then left alone.

Legend: N rows, W days of the past (oldest first), T days of a series. Variances in squared percent, returns in percent.
Each forecast is scaled so that on train rows it is right on average (the scale that QLIKE asks for), since what GARCH
and the squared return measure is larger than the range of a day tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.use_cases.finance.ohlc_bars import (
    BAR_FIELDS,
    EWMA_DECAY,
    GAP,
    HIGH,
    INTRADAY,
    LOW,
    NEWS_VOLUME,
    SENTIMENT,
    TAIL_1,
    TAIL_5,
    VIX,
    garman_klass,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WEEK_DAYS, MONTH_DAYS = 5, 22
MIN_GARCH_DAYS = 500
"""Days of a series below which a GARCH model says more about its noise than about it."""
QUANTILES = {"quantile_5": 0.05, "quantile_1": 0.01}


@dataclass(frozen=True, slots=True)
class PastDays:
    """Rows as the forecasters see them: what each day of the past measured (N, W), and which series and day each row is."""

    variance: Floats
    returns: Floats
    fear: Floats
    tails: Floats
    """How far the worst 5 % and 1 % of days fell until each row's day, in volatilities, (N, 2)."""
    written: Floats
    """Mood and number of what was written until each row's close, (N, 2)."""
    series: NDArray[np.object_]
    day: NDArray[np.int64]
    """Grows with time within a series."""

    def __len__(self) -> int:
        return len(self.variance)


def past_days(bars_NWB: NDArray[np.floating[Any]], series: Any, day: Any) -> PastDays:
    """From what is kept of past days (N, W, BAR), see `ohlc_bars`."""
    assert bars_NWB.shape[2] == len(BAR_FIELDS), bars_NWB.shape
    bars = np.asarray(bars_NWB, np.float64)
    return PastDays(
        garman_klass(bars[..., HIGH], bars[..., LOW], bars[..., INTRADAY]),
        bars[..., GAP] + bars[..., INTRADAY],
        bars[..., VIX],
        bars[:, -1, [TAIL_5, TAIL_1]],
        bars[:, -1, [SENTIMENT, NEWS_VOLUME]],
        np.asarray(series, dtype=object),
        np.asarray(day, dtype=np.int64),
    )


ShockDistribution = Literal["normal", "t"]
Forecaster = Callable[[PastDays, "Floats", PastDays], tuple["Floats", "Floats"]]
"""`forecaster(train, next variance of each train row (N,), rows)` gives variances for the train rows and for `rows`."""


def forecasts(train: PastDays, variance: Floats, returns: Floats, rows: PastDays) -> dict[str, dict[str, Floats]]:
    """What each classic says of `rows`: `variance`, `quantile_5` and `quantile_1`, (N,) each, by the forecaster's name.

    `variance` and `returns` (N,) are those of the day after each train row. The quantiles are volatilities times the tail
    of the last two years, scaled so that so many train days undercut them (filtered historical simulation).
    """
    found = {}
    fear, news = (
        bool(np.isfinite(getattr(train, told)).all() and np.isfinite(getattr(rows, told)).all()) for told in ("fear", "written")
    )
    for name, forecaster in forecasters(fear, news).items():
        fitted, forecast = forecaster(train, variance, rows)
        scale = float((variance / fitted).mean())
        fitted, forecast = fitted * scale, forecast * scale
        said = {"variance": forecast}
        for place, (quantile, level) in enumerate(QUANTILES.items()):
            tail = float(np.quantile(returns / (np.sqrt(fitted) * train.tails[:, place]), level))
            said[quantile] = np.sqrt(forecast) * rows.tails[:, place] * tail
        found[name] = said
    return found


def forecasters(fear: bool, news: bool) -> Mapping[str, Forecaster]:
    """Every classic by name, the plainest first; those that read a volatility index or news only where there are any."""
    found: dict[str, Forecaster] = {
        "last day": lambda train, _, rows: (train.variance[:, -1], rows.variance[:, -1]),
        "mean of a month": lambda train, _, rows: (
            train.variance[:, -MONTH_DAYS:].mean(1),
            rows.variance[:, -MONTH_DAYS:].mean(1),
        ),
        f"EWMA {EWMA_DECAY}": lambda train, _, rows: (ewma(train.variance), ewma(rows.variance)),
        "log-HAR": _log_regression(log_har),
        "log-HAR with leverage": _log_regression(log_har, leverage),
        "GARCH(1,1)": _garch(0, "normal"),
        "GJR-GARCH-t": _garch(1, "t"),
    }
    if fear:
        found["log-HAR with leverage and VIX"] = _log_regression(log_har, leverage, vix_level)
    if news:
        found["log-HAR with leverage and news"] = _log_regression(log_har, leverage, news_level)
    return found


def ewma(variance_NW: Floats) -> Floats:
    """The mean of the past, a day's weight falling by `EWMA_DECAY` a day."""
    weights = EWMA_DECAY ** np.arange(variance_NW.shape[1])[::-1]
    mean: Floats = variance_NW @ (weights / weights.sum())
    return mean


def log_har(past: PastDays) -> list[Floats]:
    """Logarithms of the last day's, week's and month's mean variance (Corsi 2009)."""
    return [np.log(past.variance[:, -days:].mean(1)) for days in (1, WEEK_DAYS, MONTH_DAYS)]


def leverage(past: PastDays) -> list[Floats]:
    """Falls raise tomorrow's variance more than rises do (Corsi, Renò, JBES 30, 2012): yesterday's, the week's, and the size."""
    falls = np.minimum(past.returns, 0.0)
    return [falls[:, -1], falls[:, -WEEK_DAYS:].mean(1), np.abs(past.returns[:, -1])]


def vix_level(past: PastDays) -> list[Floats]:
    """The logarithm of the volatility index at the last close."""
    return [past.fear[:, -1]]


def news_level(past: PastDays) -> list[Floats]:
    """How good or bad what was written sounds, and how much it is."""
    return [past.written[:, 0], past.written[:, 1]]


def _log_regression(*parts: Callable[[PastDays], list[Floats]]) -> Forecaster:
    """Least squares of the logarithm of the variance on these figures."""

    def design(past: PastDays) -> Floats:
        return np.column_stack([np.ones(len(past)), *(column for part in parts for column in part(past))])

    def forecaster(train: PastDays, variance: Floats, rows: PastDays) -> tuple[Floats, Floats]:
        known = design(train)
        weights, *_ = np.linalg.lstsq(known, np.log(variance), rcond=None)
        return np.exp(known @ weights), np.exp(design(rows) @ weights)

    return forecaster


def _garch(asymmetry: int, distribution: ShockDistribution) -> Forecaster:
    """GARCH (T. Bollerslev 1986) or with asymmetry GJR (Glosten, Jagannathan, Runkle 1993), by series; EWMA for short ones."""

    def forecaster(train: PastDays, variance: Floats, rows: PastDays) -> tuple[Floats, Floats]:
        found = ewma(train.variance), ewma(rows.variance)
        for name in dict.fromkeys(train.series):
            mine = np.flatnonzero(train.series == name)
            mine = mine[np.argsort(train.day[mine], kind="stable")]
            if len(mine) < MIN_GARCH_DAYS:
                continue
            fitted = fit_garch(_return_history(train, mine), asymmetry, distribution)
            for past, forecast in zip((train, rows), found, strict=True):
                places = np.flatnonzero(past.series == name)
                places = places[np.argsort(past.day[places], kind="stable")]
                if len(places):
                    forecast[places] = fitted.filtered(_return_history(past, places))[-len(places) :]
        return found

    return forecaster


def _return_history(past: PastDays, places: NDArray[np.int64]) -> Floats:
    """Returns of one series in the order of time: the past of its first row, then each row's own day."""
    history: Floats = np.concatenate([past.returns[places[0]], past.returns[places[1:], -1]])
    return history


@dataclass(frozen=True, slots=True)
class Garch:
    """A fitted recursion of the variance."""

    mean: float
    omega: float
    alpha: float
    gamma: float
    """What a fall adds to alpha."""
    beta: float

    def filtered(self, returns: Floats) -> Floats:
        """For each day (T,) the forecast of the next day's variance, from that day's return and those before it alone."""
        shocks = returns - self.mean
        weights = self.alpha + self.gamma * (shocks < 0)
        state, forecast = float((shocks[:MONTH_DAYS] ** 2).mean()), np.empty(len(returns))
        for day, shock in enumerate(shocks):
            state = self.omega + weights[day] * shock * shock + self.beta * state
            forecast[day] = state
        return forecast


def fit_garch(returns: Floats, asymmetry: int, distribution: ShockDistribution) -> Garch:
    """By maximum likelihood, with `arch`; `distribution` of the shocks is `normal` or `t`."""
    from arch.univariate import arch_model

    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=asymmetry, q=1, dist=distribution, rescale=False)
    found = model.fit(disp="off", show_warning=False).params
    return Garch(found["mu"], found["omega"], found["alpha[1]"], found.get("gamma[1]", 0.0), found["beta[1]"])
