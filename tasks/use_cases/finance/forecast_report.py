"""Report on risk forecasts: coverage tests by series, losses by year, calibration, and a backtest of a volatility target.

Predictions hold `ticker`, `next_date`, `next_return` (percent), `next_variance` and `variance` (squared percent).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.use_cases.finance import risk_metrics

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_TABLE_ROWS = 40
"""Largest number of series, or years, listed one by one."""
TARGET_PERCENT = 10.0
"""Target volatility per year."""
MAX_POSITION = 2.0
"""Largest position, as a multiple of the equity."""
COST_SHARE = 0.0002
"""Trading cost as a share of the traded amount: 0.02 %, usual for an index."""
COSTS = (0.0, 0.0002, 0.0005, 0.001, 0.002)
P_VALUES = ("kupiec_p", "independence_p", "christoffersen_p")
DIRECTION_VERDICT = "The direction of the next day is not forecast: daily prices tell no more of it than the toss of a coin."


def coverage_tests(predictions: DataFrame, quantiles: Mapping[str, float]) -> list[dict[str, Any]]:
    """Tests of Kupiec and Christoffersen for each quantile (column name and level), over all series first, then by series.

    For several series the p-values of `all` are the smallest of the series' times their number (Bonferroni): series share days,
    so their breaches are not independent and must not be pooled.
    """
    groups = list(predictions.sort_values("next_date", kind="stable").groupby("ticker"))
    rows: list[dict[str, Any]] = []
    for name, level in quantiles.items():
        by_series = [
            {"ticker": str(ticker), **risk_metrics.coverage_test(group["next_return"], group[name], level).as_dict()}
            for ticker, group in groups
        ]
        if len(by_series) == 1:
            rows.append({**by_series[0], "ticker": "all"})
            continue
        pooled: dict[str, Any] = risk_metrics.coverage_test(predictions["next_return"], predictions[name], level).as_dict()
        for test in P_VALUES:
            p_values = [tests[test] for tests in by_series if tests[test] is not None]
            pooled[test] = min(1.0, min(p_values) * len(by_series)) if p_values else None
        rows += [{"ticker": "all", **pooled}, *by_series[:MAX_TABLE_ROWS]]
    return rows


def losses_by_group(predictions: DataFrame) -> dict[str, Any]:
    """Number of days and mean `loss` by year and by series."""
    groups = {"year": predictions["next_date"].dt.year.astype(str), "ticker": predictions["ticker"]}
    means = {
        name: predictions.groupby(by.to_numpy())["loss"].agg(["count", "mean"]).head(MAX_TABLE_ROWS)
        for name, by in groups.items()
    }
    return {
        f"by_{name}": [
            {name: str(at), "days": int(row["count"]), "loss": float(row["mean"])} for at, row in group_means.iterrows()
        ]
        for name, group_means in means.items()
    }


def backtests(predictions: DataFrame) -> dict[str, Any]:
    """Backtests of a volatility target (`targeted`) and of a constant position in all series (`held`).

    Each evening the position is `TARGET_PERCENT` over the forecast volatility per year, at most `MAX_POSITION`. The equity is
    spread evenly over the series of the day. Trading costs `COST_SHARE` of the traded amount; `costs` holds the Sharpe ratios
    for other costs. No choice depends on a backtest.
    """
    volatility = np.sqrt(predictions["variance"] * risk_metrics.TRADING_DAYS)
    rows = predictions[["next_date", "ticker"]].assign(
        position=np.minimum(MAX_POSITION, TARGET_PERCENT / volatility), earned=np.expm1(predictions["next_return"] / 100)
    )
    positions = rows.pivot(index="next_date", columns="ticker", values="position").sort_index()
    daily_returns = rows.pivot(index="next_date", columns="ticker", values="earned").sort_index().fillna(0.0).to_numpy()
    share = 1 / positions.notna().sum(axis=1)
    present = positions.notna().astype("float64")
    weights_of = {
        "targeted": positions.fillna(0.0).mul(share, axis=0).to_numpy(),
        "held": present.mul(share, axis=0).to_numpy(),
    }
    by_cost = [
        {name: risk_metrics.backtest(weights, daily_returns, cost, resamples=0) for name, weights in weights_of.items()}
        for cost in COSTS
    ]
    return {
        "target_percent": TARGET_PERCENT,
        "most_position": MAX_POSITION,
        "cost_share": COST_SHARE,
        "days": [f"{day:%Y-%m-%d}" for day in positions.index],
        **{name: risk_metrics.backtest(weights, daily_returns, COST_SHARE).as_dict() for name, weights in weights_of.items()},
        "costs": [
            {"cost_share": cost, **{f"{name}_sharpe": result.sharpe for name, result in results.items()}}
            for cost, results in zip(COSTS, by_cost, strict=True)
        ],
    }


def direction(predictions: DataFrame) -> dict[str, Any]:
    """How close to chance the sign of the next day's return is, over all series."""
    ordered = predictions.sort_values(["ticker", "next_date"], kind="stable")
    return {"verdict": DIRECTION_VERDICT, **risk_metrics.direction_statistics(ordered["next_return"])}


def calibration(predictions: DataFrame, groups: int = 10) -> list[dict[str, float]]:
    """Mean forecast and mean realized variance (`came`) of equal groups of days, by forecast variance."""
    rank = predictions["variance"].rank(method="first").to_numpy() - 1
    group = np.minimum(rank * groups // max(1, len(predictions)), groups - 1)
    means = predictions.groupby(group)[["variance", "next_variance"]].mean()
    return [{"forecast": float(row["variance"]), "came": float(row["next_variance"])} for _, row in means.iterrows()]
