"""Baseline forecasts of the next day's variance, from the last value to HAR and GARCH, fitted to the train rows.

Legend: N rows, W days of the past (oldest first), T days of a series. Variances in squared percent, returns in percent.
Each forecast is scaled to be unbiased on the train rows (the scale that minimizes QLIKE), since GARCH and squared returns
estimate a larger variance than the range of a day.
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
RIDGE = 100.0
"""The penalty of standardized weights of `ridge-HAR`. On validation rows of two indices any up to 300 gives the same loss."""
LEAST_SQUARE = 1e-6
"""Added to a mean of squared returns: a series may stand still for a week."""
MIN_GARCH_DAYS = 500
"""Shortest series that a GARCH model is fitted to; a shorter one is too noisy."""
QUANTILES = {"quantile_5": 0.05, "quantile_1": 0.01}


@dataclass(frozen=True, slots=True)
class PastDays:
    """Inputs of the forecasters: the measures of past days (N, W), and the series and day of each row."""

    variance: Floats
    returns: Floats
    vix: Floats
    """The logarithm of a volatility index."""
    tails: Floats
    """Losses at the 5 % and 1 % quantiles until each row's day, in volatilities, (N, 2)."""
    news: Floats
    """Sentiment and log number of texts until each row's close, (N, 2)."""
    series: NDArray[np.object_]
    day: NDArray[np.int64]
    """Increases with time within a series."""

    def __len__(self) -> int:
        return len(self.variance)


def past_days(bars_NWB: NDArray[np.floating[Any]], series: Any, day: Any) -> PastDays:
    """The inputs of the forecasters from windows (N, W, BAR_FIELDS), see `ohlc_bars`."""
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
"""`forecaster(train, next variance of each train row (N,), rows)` returns variances for the train rows and for `rows`."""


def forecasts(train: PastDays, variance: Floats, returns: Floats, rows: PastDays) -> dict[str, dict[str, Floats]]:
    """The forecasts of each baseline for `rows`: `variance`, `quantile_5` and `quantile_1`, (N,) each, by the baseline's name.

    `variance` and `returns` (N,) are those of the day after each train row. The quantiles are volatilities times the tail of the
    last two years, scaled to the right breach rate on the train days (filtered historical simulation).
    """
    by_name = {}
    has_vix, has_news = (_is_known(train, rows, field) for field in ("vix", "news"))
    for name, forecaster in forecasters(has_vix, has_news).items():
        fitted, forecast = forecaster(train, variance, rows)
        scale = float((variance / fitted).mean())
        fitted, forecast = fitted * scale, forecast * scale
        predicted = {"variance": forecast}
        for index, (quantile, level) in enumerate(QUANTILES.items()):
            tail = float(np.quantile(returns / (np.sqrt(fitted) * train.tails[:, index]), level))
            predicted[quantile] = np.sqrt(forecast) * rows.tails[:, index] * tail
        by_name[name] = predicted
    return by_name


def _is_known(train: PastDays, rows: PastDays, field: str) -> bool:
    return all(bool(np.isfinite(getattr(past, field)).all()) for past in (train, rows))


def forecasters(has_vix: bool, has_news: bool) -> Mapping[str, Forecaster]:
    """The baselines by name, the simplest first; those that read a volatility index or news only where these are available."""
    by_name: dict[str, Forecaster] = {
        "last day": lambda train, _, rows: (train.variance[:, -1], rows.variance[:, -1]),
        "mean of a month": lambda train, _, rows: (
            train.variance[:, -MONTH_DAYS:].mean(1),
            rows.variance[:, -MONTH_DAYS:].mean(1),
        ),
        f"EWMA {EWMA_DECAY}": lambda train, _, rows: (ewma(train.variance), ewma(rows.variance)),
        "log-HAR": _log_regression(log_har),
        "log-HAR with leverage": _log_regression(log_har, leverage),
        "ridge-HAR": _log_regression(log_har, leverage, har_figures, ridge=RIDGE),
        "GARCH(1,1)": _garch(0, "normal"),
        "GJR-GARCH-t": _garch(1, "t"),
    }
    if has_vix:
        by_name["log-HAR with leverage and VIX"] = _log_regression(log_har, leverage, vix_level)
    if has_news:
        by_name["log-HAR with leverage and news"] = _log_regression(log_har, leverage, news_level)
    return by_name


def ewma(variance_NW: Floats) -> Floats:
    """The exponentially weighted mean of the past variances, with `EWMA_DECAY` per day."""
    weights = EWMA_DECAY ** np.arange(variance_NW.shape[1])[::-1]
    mean: Floats = variance_NW @ (weights / weights.sum())
    return mean


def log_har(past: PastDays) -> list[Floats]:
    """HAR regressors: logarithms of the last day's, week's and month's mean variance (Corsi 2009)."""
    return [np.log(past.variance[:, -days:].mean(1)) for days in (1, WEEK_DAYS, MONTH_DAYS)]


def leverage(past: PastDays) -> list[Floats]:
    """Leverage regressors (Corsi, Renò, JBES 30, 2012): negative returns of the last day and week, and the last absolute one."""
    falls = np.minimum(past.returns, 0.0)
    return [falls[:, -1], falls[:, -WEEK_DAYS:].mean(1), np.abs(past.returns[:, -1])]


def har_figures(past: PastDays) -> list[Floats]:
    """Figures over more horizons: variance, its level in logarithms and their spread, losses, gains and squared returns."""
    log_variance, rises = np.log(past.variance), np.maximum(past.returns, 0.0)
    figures = [np.log(past.variance[:, -days:].mean(1)) for days in (2, 3, 2 * WEEK_DAYS, 2 * MONTH_DAYS, 3 * MONTH_DAYS)]
    figures += [log_variance[:, -days:].mean(1) for days in (WEEK_DAYS, MONTH_DAYS, 3 * MONTH_DAYS)]
    figures += [log_variance[:, -MONTH_DAYS:].std(1), np.minimum(past.returns, 0.0)[:, -MONTH_DAYS:].mean(1)]
    figures += [rises[:, -days:].mean(1) for days in (WEEK_DAYS, MONTH_DAYS)]
    squares = past.returns**2
    return figures + [np.log(squares[:, -days:].mean(1) + LEAST_SQUARE) for days in (WEEK_DAYS, MONTH_DAYS)]


def vix_level(past: PastDays) -> list[Floats]:
    """The logarithm of the volatility index at the last close."""
    return [past.vix[:, -1]]


def news_level(past: PastDays) -> list[Floats]:
    """Sentiment and log number of the texts."""
    return [past.news[:, 0], past.news[:, 1]]


def _log_regression(*parts: Callable[[PastDays], list[Floats]], ridge: float = 0.0) -> Forecaster:
    """Least squares of the log variance on these regressors; with `ridge` they are standardized and their weights shrunk.

    Ridge regression: A. Hoerl, R. Kennard, Technometrics 12, 1970.
    """

    def design(past: PastDays) -> Floats:
        return np.column_stack([column for part in parts for column in part(past)])

    def forecaster(train: PastDays, variance: Floats, rows: PastDays) -> tuple[Floats, Floats]:
        regressors, targets = design(train), np.log(variance)
        mean, std, level = regressors.mean(0), np.maximum(regressors.std(0), 1e-9), targets.mean()
        scaled = (regressors - mean) / std
        shrinking = np.sqrt(ridge) * np.eye(scaled.shape[1])
        weights, *_ = np.linalg.lstsq(
            np.vstack([scaled, shrinking]), np.append(targets - level, np.zeros(len(shrinking))), rcond=None
        )
        return np.exp(scaled @ weights + level), np.exp((design(rows) - mean) / std @ weights + level)

    return forecaster


def _garch(asymmetry: int, distribution: ShockDistribution) -> Forecaster:
    """GARCH (T. Bollerslev 1986) or with asymmetry GJR (Glosten, Jagannathan, Runkle 1993), by series; EWMA for short ones."""

    def forecaster(train: PastDays, variance: Floats, rows: PastDays) -> tuple[Floats, Floats]:
        forecasts = ewma(train.variance), ewma(rows.variance)
        for name in dict.fromkeys(train.series):
            train_positions = np.flatnonzero(train.series == name)
            train_positions = train_positions[np.argsort(train.day[train_positions], kind="stable")]
            if len(train_positions) < MIN_GARCH_DAYS:
                continue
            fitted = fit_garch(_return_history(train, train_positions), asymmetry, distribution)
            for past, forecast in zip((train, rows), forecasts, strict=True):
                positions = np.flatnonzero(past.series == name)
                positions = positions[np.argsort(past.day[positions], kind="stable")]
                if len(positions):
                    forecast[positions] = fitted.filtered(_return_history(past, positions))[-len(positions) :]
        return forecasts

    return forecaster


def _return_history(past: PastDays, positions: NDArray[np.int64]) -> Floats:
    """Returns of one series in the order of time: the window of its first row, then each row's last day."""
    history: Floats = np.concatenate([past.returns[positions[0]], past.returns[positions[1:], -1]])
    return history


@dataclass(frozen=True, slots=True)
class Garch:
    """The parameters of a fitted GARCH model."""

    mean: float
    omega: float
    alpha: float
    gamma: float
    """Added to alpha after a negative shock."""
    beta: float

    def filtered(self, returns: Floats) -> Floats:
        """For each day (T,) the forecast of the next day's variance, from returns up to that day."""
        shocks = returns - self.mean
        weights = self.alpha + self.gamma * (shocks < 0)
        state, forecast = float((shocks[:MONTH_DAYS] ** 2).mean()), np.empty(len(returns))
        for day, shock in enumerate(shocks):
            state = self.omega + weights[day] * shock * shock + self.beta * state
            forecast[day] = state
        return forecast


def fit_garch(returns: Floats, asymmetry: int, distribution: ShockDistribution) -> Garch:
    """Fit a GARCH model by maximum likelihood, with `arch`; the shocks are `normal` or `t`."""
    from arch.univariate import arch_model

    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=asymmetry, q=1, dist=distribution, rescale=False)
    params = model.fit(disp="off", show_warning=False).params
    return Garch(params["mu"], params["omega"], params["alpha[1]"], params.get("gamma[1]", 0.0), params["beta[1]"])
