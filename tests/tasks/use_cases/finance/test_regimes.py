"""Regimes of volatility: a third of the days each, by what was known at their close."""

import numpy as np
import pandas as pd
import pytest

from tasks.use_cases.finance import ohlc_bars, regimes


def days(volatility: list[float], window: int = 30) -> pd.DataFrame:
    """Rows whose last month has this range of prices each day, in percent, after a wild time before."""
    bars = np.zeros((len(volatility), window, len(ohlc_bars.BAR_FIELDS)), np.float32)
    bars[:, :, ohlc_bars.HIGH] = 50.0
    bars[:, -22:, ohlc_bars.HIGH] = np.array(volatility)[:, None]
    return pd.DataFrame({"past": [one.ravel() for one in bars]}, index=range(100, 100 + len(volatility)))


def test_volatility_is_that_of_the_last_month_only() -> None:
    measured = regimes.past_volatility(days([1.0, 2.0]))
    np.testing.assert_allclose(measured, np.sqrt(0.5) * np.array([1.0, 2.0]), rtol=1e-6)


@pytest.mark.parametrize(("regime", "expected"), [("calm", [101, 104]), ("turbulent", [100, 103])])
def test_a_regime_is_a_third_of_the_rows_in_their_order(regime: str, expected: list[int]) -> None:
    calm, turbulent = regimes.corruptions()
    corruption = calm if regime == "calm" else turbulent
    rows = days([9.0, 1.0, 3.0, 8.0, 0.5, 4.0])
    assert corruption.apply(rows, np.random.default_rng(0)).index.to_list() == expected
