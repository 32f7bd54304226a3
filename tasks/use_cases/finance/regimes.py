"""Regimes of volatility: the calm and the turbulent days among the rows.

Prices are not corrupted: a changed price would be another market, of which nobody knows the next day.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from tasks.core.use_case import Corruption
from tasks.use_cases.finance import ohlc_bars
from tasks.use_cases.finance.settings import MONTH_DAYS

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from pandas import DataFrame


REGIME_SHARE = 1 / 3
"""Share of the rows in each of the two regimes."""


def corruptions() -> tuple[Corruption, ...]:
    """The calm days and the turbulent days, as subsets of the rows."""
    return (
        Corruption("calm days", partial(days_of_regime, regime="calm")),
        Corruption("turbulent days", partial(days_of_regime, regime="turbulent")),
    )


def days_of_regime(rows: DataFrame, generator: Generator, regime: Literal["calm", "turbulent"]) -> DataFrame:
    """The third of the rows with the lowest or the highest volatility in the month before; at least one row."""
    order = np.argsort(past_volatility(rows), kind="stable")
    count = max(1, round(REGIME_SHARE * len(rows)))
    chosen = order[:count] if regime == "calm" else order[-count:]
    return rows.iloc[np.sort(chosen)]


def past_volatility(rows: DataFrame) -> NDArray[np.float64]:
    """The root mean variance (Garman and Klass) of the last 22 days up to each row's own, in percent, (N,)."""
    windows = np.stack([np.asarray(past, np.float64) for past in rows["past"]]).reshape(len(rows), -1, len(ohlc_bars.BAR_FIELDS))
    high, low, move = (windows[:, -MONTH_DAYS:, field] for field in (ohlc_bars.HIGH, ohlc_bars.LOW, ohlc_bars.INTRADAY))
    volatility: NDArray[np.float64] = np.sqrt(ohlc_bars.garman_klass(high, low, move).mean(1))
    return volatility
