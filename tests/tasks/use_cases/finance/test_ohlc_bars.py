"""Daily bars: validation, stock splits, past windows and targets without look-ahead."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.cleaning.deduplication import KEPT
from tasks.cleaning.quality_report import reason_code
from tasks.use_cases.finance import ohlc_bars
from tasks.use_cases.finance.use_case import Finance, day_channels, stack_windows
from tests.support.price_bars import DAYS, clean_and_split, clean_bar, clean_series, random_bars


def test_a_good_bar_is_left_alone() -> None:
    assert clean_bar() == ("", "")
    assert clean_bar(open="10.0", high=" 11 ", close="10.5", volume="1,000") == ("", "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"date": "06/01/2020"}, "unreadable-date"),
        ({"date": None}, "unreadable-date"),
        ({"date": "2120-01-05"}, "future-date"),
        ({"date": "2020-01-05"}, "weekend"),
        ({"open": None}, "missing-open"),
        ({"low": "n/a"}, "missing-low"),
        ({"close": "10.5x"}, "unreadable-close"),
        ({"close": np.inf}, "unreadable-close"),
        ({"close": -10.5}, "impossible-close"),
        ({"open": 0}, "impossible-open"),
        ({"low": 12.0}, "impossible-bar"),
        ({"high": 10.2}, "impossible-bar"),
        ({"low": 10.2}, "impossible-bar"),
        ({"low": 0.5}, "impossible-bar"),
        ({"open": 10.5, "high": 10.5, "low": 10.5}, "stale"),
        ({"open": 10.5, "high": 10.5, "low": 10.5, "volume": 0}, "no-trade"),
        ({"ticker": " "}, "missing-ticker"),
    ],
)
def test_a_bar_that_cannot_be_true_says_why(change: Any, code: Any) -> None:
    fault, fix = clean_bar(**change)
    assert (reason_code(fault), fix) == (code, "")


def test_a_high_or_low_that_just_misses_is_mended_and_said() -> None:
    found = Finance().clean_partition(
        random_bars(2).assign(high=[104.0, 100.0], open=100.0, low=99.0, close=[104.5, 100.0], volume=[0.0, 5.0])
    )
    assert found["high"].tolist() == [104.5, 100.0]
    assert [reason_code(fix) for fix in found["fix"].iloc[0].split("; ")] == ["raised-high", "unknown-volume"]
    assert np.isnan(found["volume"].iloc[0])


def test_a_real_crash_and_a_real_leap_stay() -> None:
    rows = random_bars(100)
    rows.loc[50:, list(ohlc_bars.PRICES)] *= 0.52
    rows.loc[70:, list(ohlc_bars.PRICES)] *= 1.48
    assert (clean_series(rows)["fault"] == "").all()


def test_a_split_is_told_in_new_shares_and_a_crash_to_the_same_price_is_not() -> None:
    rows = random_bars(100)
    split, crash = rows.copy(), rows.copy()
    for changed in (split, crash):
        changed.loc[50:, list(ohlc_bars.PRICES)] /= rows["open"][50] / rows["close"][49] * 2
    crash.loc[50, "high"] *= 1.1
    whole, halved, fallen = (clean_series(some) for some in (rows, split, crash))
    assert halved["fix"].iloc[50].startswith("split: ")
    assert halved["fix"].ne("").sum() == 1
    assert abs(halved["next_return"].iloc[49] - whole["next_return"].iloc[49]) < 1
    assert fallen["fix"].iloc[50] == ""
    assert fallen["next_return"].iloc[49] < -60


def test_a_slip_of_the_pen_a_repeated_day_and_a_contradiction_do_not() -> None:
    rows = random_bars(60)
    rows.loc[30, list(ohlc_bars.PRICES)] *= 10
    rows.loc[40, list(ohlc_bars.PRICES)] = rows.loc[39, list(ohlc_bars.PRICES)]
    rows = pd.concat([rows, rows.iloc[[20]].assign(close=rows.loc[20, "low"]), rows.iloc[[21]]], ignore_index=True)
    found = clean_and_split(rows, Finance(clean=DAYS | {"validation_from": "2017-03-01", "test_from": "2017-03-15"}))
    reasons = found[found["verdict"] != KEPT]["reason"].map(reason_code)
    assert reasons.to_dict() == {30: "slip", 40: "stale", 60: "contradiction", 61: "duplicate"}


def test_the_order_of_the_rows_changes_nothing() -> None:
    rows = pd.concat([random_bars(100), random_bars(100, seed=1, ticker="two")], ignore_index=True)
    shuffled = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    left, right = (clean_series(some).sort_values(["ticker", "date"]).reset_index(drop=True) for some in (rows, shuffled))
    pd.testing.assert_frame_equal(left, right)


def same_past(left: Any, right: Any) -> None:
    for one, other in zip(left["past"], right["past"], strict=True):
        assert (one is None) == (other is None)
        np.testing.assert_array_equal(one, other)


def test_changing_the_future_moves_nothing_before_it() -> None:
    rows, changed = random_bars(300), random_bars(300)
    day = 200
    changed.loc[day:, list(ohlc_bars.PRICES)] *= 1.37
    changed.loc[day:, "high"] *= 1.2
    before, after = clean_series(rows), clean_series(changed)
    same_past(before.iloc[:day], after.iloc[:day])
    targets = ["next_date", "next_return", "next_variance"]
    pd.testing.assert_frame_equal(before[targets].iloc[: day - 1], after[targets].iloc[: day - 1])
    assert before["next_variance"].iloc[day] != after["next_variance"].iloc[day]
    assert not np.array_equal(before["past"].iloc[day], after["past"].iloc[day])


def test_adding_days_and_series_moves_nothing_that_was_there() -> None:
    rows = random_bars(300)
    more = pd.concat([rows.iloc[:250], random_bars(300, seed=5, ticker="two")], ignore_index=True)
    whole, part = clean_series(rows).iloc[:250], clean_series(more).iloc[:250]
    same_past(whole, part)
    assert whole["next_return"].iloc[:249].tolist() == part["next_return"].iloc[:249].tolist()


def test_the_past_of_a_day_ends_with_the_day_and_the_target_is_the_day_after() -> None:
    rows = random_bars(40)
    found = clean_series(rows)
    case = Finance(clean=DAYS)
    assert found["past"].notna().tolist() == [day >= 22 for day in range(40)]
    bars = stack_windows(found.iloc[[30]])[0]
    close, opened = rows["close"].to_numpy(), rows["open"].to_numpy()
    np.testing.assert_allclose(bars[:, ohlc_bars.INTRADAY], 100 * np.log(close[9:31] / opened[9:31]), rtol=1e-4, atol=1e-5)
    assert found["next_return"].iloc[30] == pytest.approx(100 * np.log(close[31] / close[30]))
    high, low = np.log(rows["high"] / rows["open"]), np.log(rows["low"] / rows["open"])
    variance = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * np.log(rows["close"] / rows["open"]) ** 2
    assert found["next_variance"].iloc[30] == pytest.approx(1e4 * variance[31])
    inputs = day_channels(stack_windows(found.iloc[[30]]), fear=False)
    assert inputs[0, -1, 0] == pytest.approx(np.log(1e4 * variance[30]), abs=1e-4)
    assert inputs[0, -1, 3] == rows["date"].dt.day_of_week[31]
    assert case.encode(found.iloc[[30]], {"window": 22, "fear": False, "news": False})[1][0, 1] == pytest.approx(
        found["next_return"].iloc[30]
    )


def test_after_a_long_pause_the_next_bar_is_not_the_next_day() -> None:
    rows = random_bars(100).drop(index=range(60, 70)).reset_index(drop=True)
    found = clean_series(rows)
    assert found["next_return"].isna().to_numpy().nonzero()[0].tolist() == [59, 89]
    assert reason_code(found["fix"].iloc[60]) == "pause"


def test_days_on_which_the_others_traded_are_missed() -> None:
    rows = pd.concat([random_bars(60, seed=seed, ticker=f"s{seed}") for seed in range(4)], ignore_index=True)
    found = clean_series(rows.drop(index=30).reset_index(drop=True))
    assert found["fix"].ne("").to_numpy().nonzero()[0].tolist() == [30]
    assert reason_code(found["fix"].iloc[30]) == "missing-days"


def test_tails_are_those_of_the_days_before_and_usual_while_a_series_is_young() -> None:
    generator = np.random.default_rng(0)
    returns = generator.normal(0, 1, 1200)
    found = ohlc_bars.tail_multiples(np.ones(1200), returns)
    assert found[100].tolist() == list(ohlc_bars.DEFAULT_TAILS.values())
    assert found[1100] == pytest.approx([1.645, 2.326], abs=0.45)
    np.testing.assert_array_equal(
        found[:900], ohlc_bars.tail_multiples(np.ones(1200), np.where(np.arange(1200) < 900, returns, 9.0))[:900]
    )
