"""What a person reads of forecasts of risk: coverage by series, loss by year, what trading by them would have earned.

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
"""Series listed one by one."""
TARGET_PERCENT = 10.0
"""Volatility a year that is aimed at."""
MAX_POSITION = 2.0
"""Multiple of the money that is held at most."""
COST_SHARE = 0.0002
"""Share of what is bought or sold that is paid for it: two hundredths of a percent, usual for an index."""
COSTS = (0.0, 0.0002, 0.0005, 0.001, 0.002)
P_VALUES = ("kupiec_p", "independence_p", "christoffersen_p")
DIRECTION_VERDICT = "The direction of the next day is not forecast: daily prices tell no more of it than the toss of a coin."


def coverage_tests(predictions: DataFrame, quantiles: Mapping[str, float]) -> list[dict[str, Any]]:
    """Kupiec and Christoffersen for each quantile (column name and level), over all series first, then series by series.

    For several series `all` holds the least of their probabilities times their number (Bonferroni): they share days, so
    their hits must not be added up as if they knew nothing of each other.
    """
    groups = list(predictions.sort_values("next_date", kind="stable").groupby("ticker"))
    found: list[dict[str, Any]] = []
    for name, level in quantiles.items():
        each = [
            {"ticker": str(ticker), **risk_metrics.coverage_test(some["next_return"], some[name], level).as_dict()}
            for ticker, some in groups
        ]
        if len(each) == 1:
            found.append({**each[0], "ticker": "all"})
            continue
        whole: dict[str, Any] = risk_metrics.coverage_test(predictions["next_return"], predictions[name], level).as_dict()
        for test in P_VALUES:
            known = [one[test] for one in each if one[test] is not None]
            whole[test] = min(1.0, min(known) * len(each)) if known else None
        found += [{"ticker": "all", **whole}, *each[:MAX_TABLE_ROWS]]
    return found


def losses_by_group(judged: DataFrame) -> dict[str, Any]:
    """Mean `loss` by year and by series."""
    groups = {"year": judged["next_date"].dt.year.astype(str), "ticker": judged["ticker"]}
    means = {
        name: judged.groupby(by.to_numpy())["loss"].agg(["count", "mean"]).head(MAX_TABLE_ROWS) for name, by in groups.items()
    }
    return {
        f"by_{name}": [{name: str(at), "days": int(row["count"]), "loss": float(row["mean"])} for at, row in found.iterrows()]
        for name, found in means.items()
    }


def backtests(predictions: DataFrame) -> dict[str, Any]:
    """The account of holding more when risk is forecast low and less when it is high, and that of holding all series alike.

    Each evening `TARGET_PERCENT` a year over the forecast volatility is held, at most `MAX_POSITION` times the money,
    which is spread evenly over the series of the day; trading costs `COST_SHARE` of what is bought or sold, and `costs`
    tells what other costs would leave. Nothing is chosen by it.
    """
    volatility = np.sqrt(predictions["variance"] * risk_metrics.TRADING_DAYS)
    rows = predictions[["next_date", "ticker"]].assign(
        position=np.minimum(MAX_POSITION, TARGET_PERCENT / volatility), earned=np.expm1(predictions["next_return"] / 100)
    )
    positions = rows.pivot(index="next_date", columns="ticker", values="position").sort_index()
    moves = rows.pivot(index="next_date", columns="ticker", values="earned").sort_index().fillna(0.0).to_numpy()
    share = 1 / positions.notna().sum(axis=1)
    plain = positions.notna().astype("float64")
    held = {
        "targeted": positions.fillna(0.0).mul(share, axis=0).to_numpy(),
        "held": plain.mul(share, axis=0).to_numpy(),
    }
    by_cost = [{name: risk_metrics.backtest(one, moves, cost, resamples=0) for name, one in held.items()} for cost in COSTS]
    return {
        "target_percent": TARGET_PERCENT,
        "most_position": MAX_POSITION,
        "cost_share": COST_SHARE,
        "days": [f"{day:%Y-%m-%d}" for day in positions.index],
        **{name: risk_metrics.backtest(one, moves, COST_SHARE).as_dict() for name, one in held.items()},
        "costs": [
            {"cost_share": cost, **{f"{name}_sharpe": found.sharpe for name, found in both.items()}}
            for cost, both in zip(COSTS, by_cost, strict=True)
        ],
    }


def direction(predictions: DataFrame) -> dict[str, Any]:
    """How near the sign of the next day is to chance, over all series."""
    ordered = predictions.sort_values(["ticker", "next_date"], kind="stable")
    return {"verdict": DIRECTION_VERDICT, **risk_metrics.direction_statistics(ordered["next_return"])}


def calibration(predictions: DataFrame, groups: int = 10) -> list[dict[str, float]]:
    """Days in equal groups by the variance that was forecast, and the mean that came in each."""
    rank = predictions["variance"].rank(method="first").to_numpy() - 1
    place = np.minimum(rank * groups // max(1, len(predictions)), groups - 1)
    means = predictions.groupby(place)[["variance", "next_variance"]].mean()
    return [{"forecast": float(row["variance"]), "came": float(row["next_variance"])} for _, row in means.iterrows()]
