"""The measures of risk say what the textbooks say, and find what is wrong with a forecast when something is."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tasks.use_cases.finance import ohlc_bars, risk_metrics, volatility_baselines


@pytest.fixture
def generator() -> Any:
    return np.random.default_rng(0)


def test_qlike_is_zero_for_the_truth_and_least_on_average_at_the_mean(generator: Any) -> None:
    assert risk_metrics.qlike([2.0], [2.0])[0] == 0
    realised = generator.chisquare(1, 20_000)
    losses = {
        scale: risk_metrics.qlike(realised, np.full(len(realised), scale * realised.mean())).mean() for scale in (0.8, 1.0, 1.25)
    }
    assert min(losses, key=losses.get) == 1.0


def test_pinball_is_least_on_average_at_the_quantile(generator: Any) -> None:
    returns = generator.normal(size=20_000)
    losses = {shift: risk_metrics.pinball(returns, np.quantile(returns, 0.05) + shift, 0.05).mean() for shift in (-0.3, 0.0, 0.3)}
    assert min(losses, key=losses.get) == 0.0


@pytest.mark.parametrize(("hits", "days", "level"), [(7, 250, 0.01), (0, 250, 0.01), (5, 500, 0.01), (40, 500, 0.05)])
def test_kupiec_is_the_likelihood_ratio_of_the_count(hits: Any, days: Any, level: Any) -> None:
    returns = np.where(np.arange(days) % max(1, days // max(1, hits)) == 0, -2.0, 0.0) if hits else np.zeros(days)
    found = risk_metrics.coverage_test(returns, np.full(days, -1.0), level)
    ratio = 2 * (stats.binom.logpmf(found.hits, days, found.hits / days) - stats.binom.logpmf(found.hits, days, level))
    assert found.kupiec_p == pytest.approx(stats.chi2.sf(ratio, 1))
    assert found.share == found.hits / days


def test_coverage_rejects_a_right_forecast_about_as_often_as_it_says(generator: Any) -> None:
    found = [
        risk_metrics.coverage_test(returns, np.full(1000, stats.norm.ppf(0.05)), 0.05)
        for returns in generator.normal(size=(300, 1000))
    ]
    for test in ("kupiec_p", "christoffersen_p"):
        assert 0.02 < np.mean([getattr(one, test) < 0.05 for one in found]) < 0.09


def test_christoffersen_sees_hits_in_a_row_that_kupiec_cannot_see() -> None:
    returns = np.zeros(1000)
    returns[100:125] = returns[600:625] = -3.0
    found = risk_metrics.coverage_test(returns, np.full(1000, -1.0), 0.05)
    assert found.kupiec_p == pytest.approx(1.0)
    assert found.christoffersen_p < 1e-6
    assert found.independence_p < 1e-6


def test_a_quantile_that_is_never_undercut_has_no_pattern_to_test() -> None:
    found = risk_metrics.coverage_test(np.zeros(100), np.full(100, -1.0), 0.05)
    assert (found.hits, found.independence_p, found.christoffersen_p) == (0, None, None)
    with pytest.raises(ValueError, match="0 days"):
        risk_metrics.coverage_test([], [], 0.05)


def test_diebold_mariano_has_the_standard_error_of_newey_and_west(generator: Any) -> None:
    from statsmodels.api import OLS

    loss = np.convolve(generator.normal(size=620), np.ones(20), "valid") + 0.5
    found = risk_metrics.diebold_mariano(loss, np.zeros_like(loss), lags=21)
    known = OLS(loss, np.ones_like(loss)).fit(cov_type="HAC", cov_kwds={"maxlags": 21})
    assert found.statistic == pytest.approx(known.tvalues[0])
    assert found.p == pytest.approx(known.pvalues[0])
    assert found.low < found.difference < found.high
    assert found.difference == pytest.approx(loss.mean())


def test_two_equal_forecasts_are_equal() -> None:
    same = risk_metrics.diebold_mariano(np.arange(50.0), np.arange(50.0))
    assert (same.difference, same.p) == (0.0, 1.0)


def test_an_account_that_holds_everything_earns_the_market_less_what_entering_cost() -> None:
    daily = np.array([0.1, -0.5, 0.2, 0.0])
    free, paid = (risk_metrics.backtest(np.ones(4), daily, cost) for cost in (0.0, 0.01))
    assert free.equity == pytest.approx((1.1, 0.55, 0.66, 0.66))
    assert free.drawdown == pytest.approx(0.5)
    assert paid.equity[0] == pytest.approx(1.09)
    assert free.turnover == pytest.approx(risk_metrics.TRADING_DAYS / 4)


def test_a_fall_from_the_start_is_a_drawdown() -> None:
    assert risk_metrics.backtest(np.ones(2), np.array([-0.2, 0.0]), 0.0).drawdown == pytest.approx(0.2)


def test_the_interval_of_the_sharpe_ratio_holds_the_truth(generator: Any) -> None:
    found = risk_metrics.backtest(np.ones(2520), generator.normal(0.0005, 0.01, 2520), 0.0)
    assert found.sharpe_low < 0.0005 / 0.01 * np.sqrt(252) < found.sharpe_high
    assert found.sharpe_low < found.sharpe < found.sharpe_high


def test_a_direction_known_from_nothing_is_near_one_half(generator: Any) -> None:
    found = risk_metrics.direction_statistics(generator.normal(size=4000))
    assert abs(found["rising_share"] - 0.5) < 2 * found["half_width"]


def garch_returns(generator: Any, days: Any = 3000) -> Any:
    variance, returns = 1.0, np.empty(days)
    for day in range(days):
        returns[day] = np.sqrt(variance) * generator.normal()
        variance = 0.05 + (0.04 + 0.1 * (returns[day] < 0)) * returns[day] ** 2 + 0.85 * variance
    return returns


def test_a_garch_model_is_found_again_and_filtered_as_arch_does_it(generator: Any) -> None:
    from arch.univariate import arch_model

    returns = garch_returns(generator)
    found = volatility_baselines.fit_garch(returns, 1, "normal")
    assert found.beta == pytest.approx(0.85, abs=0.06)
    assert found.gamma == pytest.approx(0.1, abs=0.06)
    known = arch_model(returns, p=1, o=1, q=1, rescale=False).fit(disp="off", show_warning=False)
    ahead = known.forecast(start=0, horizon=1).variance.to_numpy()[:, 0]
    np.testing.assert_allclose(found.filtered(returns)[500:], ahead[500:], rtol=1e-6)


def test_no_classic_forecast_knows_the_future(generator: Any) -> None:
    days, window = 700, 66
    bars = np.zeros((days + window, len(ohlc_bars.BAR_FIELDS)))
    bars[:, ohlc_bars.INTRADAY] = garch_returns(generator, len(bars))
    bars[:, ohlc_bars.HIGH] = np.maximum(bars[:, ohlc_bars.INTRADAY], 0) + 0.3
    bars[:, ohlc_bars.LOW] = np.minimum(bars[:, ohlc_bars.INTRADAY], 0) - 0.3
    bars[:, [ohlc_bars.TAIL_5, ohlc_bars.TAIL_1]] = 2.0, 3.0

    def asked(bars: Any) -> Any:
        windows = np.stack([bars[day : day + window] for day in range(days)])
        return volatility_baselines.past_days(windows, ["one"] * days, np.arange(days))

    train, rows = asked(bars), asked(bars)
    came, returns = rows.variance[:, -1] + 0.1, rows.returns[:, -1]
    before = volatility_baselines.forecasts(train, came, returns, rows)
    bars[window + 400 :, ohlc_bars.INTRADAY] *= 5
    after = volatility_baselines.forecasts(train, came, returns, asked(bars))
    assert {"GARCH(1,1)", "GJR-GARCH-t", "log-HAR", "ridge-HAR", "last day", "EWMA 0.94"} <= set(before)
    for name, said in before.items():
        for what, values in said.items():
            np.testing.assert_array_equal(values[:401], after[name][what][:401], err_msg=f"{name}: {what}")
    assert not np.array_equal(before["GARCH(1,1)"]["variance"], after["GARCH(1,1)"]["variance"])


@pytest.mark.parametrize("penalty", [0.0, 50.0])
def test_log_regressions_are_those_of_scikit_learn(generator: Any, penalty: float) -> None:
    from sklearn.linear_model import Ridge

    variance = np.exp(generator.normal(size=(300, 66)))
    past = volatility_baselines.PastDays(
        variance, generator.normal(size=(300, 66)), variance, variance[:, :2], variance[:, :2], variance[:, 0], np.arange(300)
    )
    came = variance[:, -1] ** 0.4 * np.exp(generator.normal(size=300))
    forecaster = volatility_baselines._log_regression(
        volatility_baselines.log_har, volatility_baselines.har_figures, ridge=penalty
    )
    fitted, forecast = forecaster(past, came, past)
    regressors = np.column_stack([*volatility_baselines.log_har(past), *volatility_baselines.har_figures(past)])
    scaled = (regressors - regressors.mean(0)) / regressors.std(0)
    known = Ridge(alpha=max(penalty, 1e-9)).fit(scaled, np.log(came)).predict(scaled)
    np.testing.assert_allclose(np.log(fitted), known, atol=1e-5)
    np.testing.assert_allclose(forecast, fitted)
