"""Metrics of risk forecasts: QLIKE, pinball loss, VaR coverage tests, the Diebold-Mariano test, and a backtest.

Variances are in squared percent per day, returns in percent, quantiles as returns: a 1 % quantile of -3 means that one day in
a hundred loses more than 3 percent. Arrays are (T,) in the order of time unless stated otherwise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

TRADING_DAYS = 252
"""Trading days in a year, to annualize daily figures."""
MONTH_DAYS = 21
BOOTSTRAP_RESAMPLES = 1000
BOOTSTRAP_SEED = 20_240_229


def qlike(realized: ArrayLike, forecast: ArrayLike) -> Floats:
    """QLIKE loss of each variance forecast, 0 when it is exact: x - log x - 1 for x = realized / forecast.

    It ranks forecasts as the true variance would, of which `realized` is a noisy but unbiased estimate (A. Patton, Journal of
    Econometrics 160, 2011).
    """
    ratio = np.asarray(realized, np.float64) / np.asarray(forecast, np.float64)
    loss: Floats = ratio - np.log(ratio) - 1
    return loss


def pinball(returns: ArrayLike, quantile: ArrayLike, level: float) -> Floats:
    """Pinball loss of each forecast of the `level` quantile (R. Koenker, G. Bassett, Econometrica 46, 1978), in percent."""
    error = np.asarray(returns, np.float64) - np.asarray(quantile, np.float64)
    loss: Floats = np.maximum(level * error, (level - 1) * error)
    return loss


@dataclass(frozen=True, slots=True)
class CoverageTest:
    """VaR breaches: how often returns fell below a quantile, and the p-values of the count and the pattern."""

    level: float
    days: int
    hits: int
    share: float
    """Breach rate: the share of days with a return below the quantile. It should equal `level`."""
    kupiec_p: float
    """Of the number of breaches (P. Kupiec, Journal of Derivatives 3, 1995)."""
    independence_p: float | None
    """Of breaches in a row (P. Christoffersen, International Economic Review 39, 1998); None without a breach."""
    christoffersen_p: float | None
    """Of both: conditional coverage."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def coverage_test(returns: ArrayLike, quantile: ArrayLike, level: float) -> CoverageTest:
    """The tests of Kupiec and Christoffersen for one forecast of the `level` quantile."""
    from scipy.stats import chi2  # not loaded where a released model only predicts

    hit = np.asarray(returns, np.float64) < np.asarray(quantile, np.float64)
    days, hits = len(hit), int(hit.sum())
    if days == 0:
        raise ValueError("0 days: coverage needs at least one")
    count_ratio = 2 * (_bernoulli_log_likelihood(hits, days, hits / days) - _bernoulli_log_likelihood(hits, days, level))
    kupiec_p = float(chi2.sf(max(0.0, count_ratio), 1))
    if not 0 < hits < days:
        return CoverageTest(level, days, hits, hits / days, kupiec_p, None, None)
    before, after = hit[:-1], hit[1:]
    from_calm, from_hit = int((~before).sum()), int(before.sum())
    calm_to_hit, hit_to_hit = int((~before & after).sum()), int((before & after).sum())
    unrestricted = _bernoulli_log_likelihood(calm_to_hit, from_calm, calm_to_hit / max(1, from_calm))
    unrestricted += _bernoulli_log_likelihood(hit_to_hit, from_hit, hit_to_hit / max(1, from_hit))
    all_hits = calm_to_hit + hit_to_hit
    pattern_ratio = max(0.0, 2 * (unrestricted - _bernoulli_log_likelihood(all_hits, days - 1, all_hits / max(1, days - 1))))
    return CoverageTest(
        level,
        days,
        hits,
        hits / days,
        kupiec_p,
        float(chi2.sf(pattern_ratio, 1)),
        float(chi2.sf(pattern_ratio + max(0.0, count_ratio), 2)),
    )


@dataclass(frozen=True, slots=True)
class LossComparison:
    """The mean loss of one forecast less that of another, with its confidence interval and p-value."""

    difference: float
    """Negative when the first forecast is better."""
    low: float
    high: float
    """The 95 % confidence interval."""
    statistic: float
    p: float
    """Two-sided."""
    days: int
    lags: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def diebold_mariano(loss: ArrayLike, baseline_loss: ArrayLike, lags: int = MONTH_DAYS) -> LossComparison:
    """The test of equal accuracy of two forecasts by their daily losses (Diebold, Mariano, JBES 13, 1995).

    The variance allows for autocorrelation up to `lags` days (Newey, West, Econometrica 55, 1987).
    """
    from scipy.stats import norm

    difference = np.asarray(loss, np.float64) - np.asarray(baseline_loss, np.float64)
    days, lags = len(difference), min(lags, max(0, len(difference) - 2))
    mean = float(difference.mean())
    spread = sqrt(long_run_variance(difference, lags) / days)
    if spread == 0:
        return LossComparison(mean, mean, mean, 0.0, 1.0, days, lags)
    half = float(norm.ppf(0.975)) * spread
    return LossComparison(mean, mean - half, mean + half, mean / spread, float(2 * norm.sf(abs(mean / spread))), days, lags)


def long_run_variance(values: ArrayLike, lags: int) -> float:
    """The long-run variance of `values` per day, with autocorrelation up to `lags` days (Newey, West 1987)."""
    centred = np.asarray(values, np.float64) - np.mean(np.asarray(values, np.float64))
    total = float(centred @ centred)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return max(0.0, total / len(centred))


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The result of a trading strategy, in shares of 1: a `drawdown` of 0.2 is a fifth of the equity.

    Costs are paid, interest is not earned.
    """

    days: int
    yearly_return: float
    yearly_volatility: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    """The 95 % confidence interval, by a bootstrap of blocks of about a month."""
    drawdown: float
    """The maximum drawdown."""
    turnover: float
    """Traded amount per year, as a multiple of the equity."""
    mean_position: float
    equity: tuple[float, ...]
    """Equity at the end of each day, 1 at the start."""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "equity": list(self.equity)}


def backtest(position: ArrayLike, daily: ArrayLike, cost: float, resamples: int = BOOTSTRAP_RESAMPLES) -> Backtest:
    """Backtest of positions (T,) or (T, series) on `daily` returns (shares of 1) of the same shape.

    Positions are multiples of the equity, set on the evening before; `cost` is a share of the traded amount. Without `resamples`
    the Sharpe ratio has no interval.
    """
    positions, returns = (np.asarray(values, np.float64).reshape(len(values), -1) for values in (position, daily))  # type: ignore[arg-type]
    traded = np.abs(np.diff(positions, prepend=0.0, axis=0)).sum(1)
    earned = (positions * returns).sum(1) - cost * traded
    equity = np.cumprod(np.maximum(0.0, 1 + earned))
    drawdown = 1 - equity / np.maximum.accumulate(np.concatenate([[1.0], equity]))[1:]
    low, high = _sharpe_interval(earned, resamples) if resamples else (float("nan"), float("nan"))
    return Backtest(
        days=len(earned),
        yearly_return=float(earned.mean() * TRADING_DAYS),
        yearly_volatility=float(earned.std() * sqrt(TRADING_DAYS)),
        sharpe=float(_sharpe(earned)),
        sharpe_low=low,
        sharpe_high=high,
        drawdown=float(drawdown.max()),
        turnover=float(traded.mean() * TRADING_DAYS),
        mean_position=float(positions.sum(1).mean()),
        equity=tuple(round(float(value), 6) for value in equity),
    )


def direction_statistics(returns: ArrayLike) -> dict[str, float]:
    """The share of rising days, the share of days with the sign of the day before, and the half width of a 95 % interval at 0.5.

    Direction is not forecast: in daily prices it is too close to chance.
    """
    values = np.asarray(returns, np.float64)
    rising = float((values > 0).mean())
    same = float(((values[1:] > 0) == (values[:-1] > 0)).mean()) if len(values) > 1 else 0.5
    return {"rising_share": rising, "as_the_day_before_share": same, "half_width": 0.98 / sqrt(max(1, len(values)))}


def _sharpe(earned: Floats) -> Any:
    """The annualized Sharpe ratio along the last axis; 0 for constant returns."""
    spread = earned.std(axis=-1)
    return np.where(spread > 0, earned.mean(axis=-1) / np.where(spread > 0, spread, 1.0), 0.0) * sqrt(TRADING_DAYS)


def _sharpe_interval(earned: Floats, resamples: int) -> tuple[float, float]:
    """The 95 % interval of the Sharpe ratio by the stationary bootstrap (D. Politis, J. Romano, JASA 89, 1994)."""
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    days = len(earned)
    positions = generator.integers(0, days, (resamples, days))
    starts_block = generator.random((resamples, days)) < 1 / MONTH_DAYS
    for day in range(1, days):
        positions[:, day] = np.where(starts_block[:, day], positions[:, day], (positions[:, day - 1] + 1) % days)
    low, high = np.quantile(_sharpe(earned[positions]), [0.025, 0.975])
    return float(low), float(high)


def _bernoulli_log_likelihood(hits: int, days: int, share: float) -> float:
    """The log-likelihood of one sequence of `days` days with so many hits, each with probability `share`."""
    calm = days - hits
    return (hits * log(share) if hits else 0.0) + (calm * _log_complement(share) if calm else 0.0)


def _log_complement(share: float) -> float:
    """log(1 - share), minus infinity at 1."""
    return log(1 - share) if share < 1 else float("-inf")
