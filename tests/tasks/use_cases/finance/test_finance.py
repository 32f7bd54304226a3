"""Prices: what cannot be true is kept out with its reason, what is true however wild stays in, and nobody knows tomorrow."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.cleaning.deduplication import KEPT, deduplicate_and_split
from tasks.cleaning.quality_report import reason_code
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.splits import row_keys
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.use_cases.finance import ohlc_bars, price_sources
from tasks.use_cases.finance.use_case import Finance, days_of, stacked

TODAY = pd.Timestamp("2020-06-30")
DAYS = {"history_days": 22, "validation_from": "2018-07-02", "test_from": "2019-01-02"}


def market(days=600, seed=0, ticker="one", start="2017-01-02"):
    """Bars of a made-up share that trades every weekday, as raw rows."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(0, 0.003, (days, 30)).cumsum(1)
    opened = 100 * np.exp(np.concatenate([[0.0], (steps[:-1, -1] + generator.normal(0, 0.002, days - 1)).cumsum()]))
    path = opened[:, None] * np.exp(np.concatenate([np.zeros((days, 1)), steps], 1))
    rows = pd.DataFrame(
        {
            "ticker": ticker,
            "date": pd.bdate_range(start, periods=days),
            "open": path[:, 0],
            "high": path.max(1),
            "low": path.min(1),
            "close": path[:, -1],
            "volume": generator.integers(1000, 9000, days).astype(float),
            "fear": np.nan,
            "mood": np.nan,
            "buzz": np.nan,
        }
    )
    return rows.assign(file="made.csv", row=range(days))


def related(rows, case=None):
    """Judged and related, all columns together."""
    case = case or Finance(clean=DAYS)
    judged = case.clean_partition(rows)
    good = judged[judged["fault"] == ""]
    return good.drop(columns=["fault", "fix"]).join(case.clean_table(good))


def settled(rows, case=None):
    case = case or Finance(clean=DAYS)
    judged = case.clean_partition(rows).assign(file=rows["file"], row=rows["row"], part=0, key="")
    good = judged["fault"] == ""
    judged.loc[good, "key"] = row_keys(judged[good], case.unique_key)
    return deduplicate_and_split(case, judged.reset_index(drop=True))


def verdict(**change):
    """The fault and the fix of one bar that is good but for this change."""
    bar = {"ticker": "one", "date": "2020-01-06", "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5}
    bar |= {"volume": 100.0, "fear": None, "mood": None, "buzz": None}
    found = Finance().clean_partition(pd.DataFrame([bar | change])).iloc[0]
    return found["fault"], found["fix"]


def test_a_good_bar_is_left_alone():
    assert verdict() == ("", "")
    assert verdict(open="10.0", high=" 11 ", close="10.5", volume="1,000") == ("", "")


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
def test_a_bar_that_cannot_be_true_says_why(change, code):
    fault, fix = verdict(**change)
    assert (reason_code(fault), fix) == (code, "")


def test_a_high_or_low_that_just_misses_is_mended_and_said():
    found = Finance().clean_partition(
        market(2).assign(high=[104.0, 100.0], open=100.0, low=99.0, close=[104.5, 100.0], volume=[0.0, 5.0])
    )
    assert found["high"].tolist() == [104.5, 100.0]
    assert [reason_code(fix) for fix in found["fix"].iloc[0].split("; ")] == ["raised-high", "unknown-volume"]
    assert np.isnan(found["volume"].iloc[0])


def test_a_real_crash_and_a_real_leap_stay():
    rows = market(100)
    rows.loc[50:, list(ohlc_bars.PRICES)] *= 0.52
    rows.loc[70:, list(ohlc_bars.PRICES)] *= 1.48
    assert (related(rows)["fault"] == "").all()


def test_a_split_is_told_in_new_shares_and_a_crash_to_the_same_price_is_not():
    rows = market(100)
    split, crash = rows.copy(), rows.copy()
    for changed in (split, crash):
        changed.loc[50:, list(ohlc_bars.PRICES)] /= rows["open"][50] / rows["close"][49] * 2
    crash.loc[50, "high"] *= 1.1
    whole, halved, fallen = (related(some) for some in (rows, split, crash))
    assert halved["fix"].iloc[50].startswith("split: ")
    assert halved["fix"].ne("").sum() == 1
    assert abs(halved["next_return"].iloc[49] - whole["next_return"].iloc[49]) < 1
    assert fallen["fix"].iloc[50] == ""
    assert fallen["next_return"].iloc[49] < -60


def test_a_slip_of_the_pen_a_repeated_day_and_a_contradiction_do_not():
    rows = market(60)
    rows.loc[30, list(ohlc_bars.PRICES)] *= 10
    rows.loc[40, list(ohlc_bars.PRICES)] = rows.loc[39, list(ohlc_bars.PRICES)]
    rows = pd.concat([rows, rows.iloc[[20]].assign(close=rows.loc[20, "low"]), rows.iloc[[21]]], ignore_index=True)
    found = settled(rows, Finance(clean=DAYS | {"validation_from": "2017-03-01", "test_from": "2017-03-15"}))
    reasons = found[found["verdict"] != KEPT]["reason"].map(reason_code)
    assert reasons.to_dict() == {30: "slip", 40: "stale", 60: "contradiction", 61: "duplicate"}


def test_the_order_of_the_rows_changes_nothing():
    rows = pd.concat([market(100), market(100, seed=1, ticker="two")], ignore_index=True)
    shuffled = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    left, right = (related(some).sort_values(["ticker", "date"]).reset_index(drop=True) for some in (rows, shuffled))
    pd.testing.assert_frame_equal(left, right)


def same_past(left, right):
    for one, other in zip(left["past"], right["past"], strict=True):
        assert (one is None) == (other is None)
        np.testing.assert_array_equal(one, other)


def test_changing_the_future_moves_nothing_before_it():
    rows, changed = market(300), market(300)
    day = 200
    changed.loc[day:, list(ohlc_bars.PRICES)] *= 1.37
    changed.loc[day:, "high"] *= 1.2
    before, after = related(rows), related(changed)
    same_past(before.iloc[:day], after.iloc[:day])
    targets = ["next_date", "next_return", "next_variance"]
    pd.testing.assert_frame_equal(before[targets].iloc[: day - 1], after[targets].iloc[: day - 1])
    assert before["next_variance"].iloc[day] != after["next_variance"].iloc[day]
    assert not np.array_equal(before["past"].iloc[day], after["past"].iloc[day])


def test_adding_days_and_series_moves_nothing_that_was_there():
    rows = market(300)
    more = pd.concat([rows.iloc[:250], market(300, seed=5, ticker="two")], ignore_index=True)
    whole, part = related(rows).iloc[:250], related(more).iloc[:250]
    same_past(whole, part)
    assert whole["next_return"].iloc[:249].tolist() == part["next_return"].iloc[:249].tolist()


def test_the_past_of_a_day_ends_with_the_day_and_the_target_is_the_day_after():
    rows = market(40)
    found = related(rows)
    case = Finance(clean=DAYS)
    assert found["past"].notna().tolist() == [day >= 22 for day in range(40)]
    bars = stacked(found.iloc[[30]])[0]
    close, opened = rows["close"].to_numpy(), rows["open"].to_numpy()
    np.testing.assert_allclose(bars[:, ohlc_bars.INTRADAY], 100 * np.log(close[9:31] / opened[9:31]), rtol=1e-4, atol=1e-5)
    assert found["next_return"].iloc[30] == pytest.approx(100 * np.log(close[31] / close[30]))
    high, low = np.log(rows["high"] / rows["open"]), np.log(rows["low"] / rows["open"])
    variance = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * np.log(rows["close"] / rows["open"]) ** 2
    assert found["next_variance"].iloc[30] == pytest.approx(1e4 * variance[31])
    inputs = days_of(stacked(found.iloc[[30]]), fear=False)
    assert inputs[0, -1, 0] == pytest.approx(np.log(1e4 * variance[30]), abs=1e-4)
    assert inputs[0, -1, 3] == rows["date"].dt.day_of_week[31]
    assert case.encode(found.iloc[[30]], {"window": 22, "fear": False, "news": False})[1][0, 1] == pytest.approx(
        found["next_return"].iloc[30]
    )


def test_after_a_long_pause_the_next_bar_is_not_the_next_day():
    rows = market(100).drop(index=range(60, 70)).reset_index(drop=True)
    found = related(rows)
    assert found["next_return"].isna().to_numpy().nonzero()[0].tolist() == [59, 89]
    assert reason_code(found["fix"].iloc[60]) == "pause"


def test_days_on_which_the_others_traded_are_missed():
    rows = pd.concat([market(60, seed=seed, ticker=f"s{seed}") for seed in range(4)], ignore_index=True)
    found = related(rows.drop(index=30).reset_index(drop=True))
    assert found["fix"].ne("").to_numpy().nonzero()[0].tolist() == [30]
    assert reason_code(found["fix"].iloc[30]) == "missing-days"


def test_tails_are_those_of_the_days_before_and_usual_while_a_series_is_young():
    generator = np.random.default_rng(0)
    returns = generator.normal(0, 1, 1200)
    found = ohlc_bars.tail_multiples(np.ones(1200), returns)
    assert found[100].tolist() == list(ohlc_bars.DEFAULT_TAILS.values())
    assert found[1100] == pytest.approx([1.645, 2.326], abs=0.45)
    np.testing.assert_array_equal(
        found[:900], ohlc_bars.tail_multiples(np.ones(1200), np.where(np.arange(1200) < 900, returns, 9.0))[:900]
    )


def test_splits_follow_the_day_that_is_forecast_and_keep_a_distance():
    rows = related(market(600))
    case = Finance(clean=DAYS)
    split = case.assign_split(rows, rows["ticker"])
    day = rows["next_date"]
    assert day[split == "train"].max() < pd.Timestamp("2018-07-02") - pd.Timedelta(days=5)
    assert day[split == "validation"].min() == pd.Timestamp("2018-07-02")
    assert day[split == "test"].min() == pd.Timestamp("2019-01-02")
    assert (split[rows["past"].isna() | day.isna()] == "context").all()
    until = Finance(clean=DAYS | {"test_until": "2019-02-28"})
    assert day[until.assign_split(rows, rows["ticker"]) == "test"].max() == pd.Timestamp("2019-02-28")


def test_without_dates_the_splits_take_their_share_of_the_days():
    rows = related(market(600))
    split = Finance(clean={"history_days": 22}).assign_split(rows, rows["ticker"])
    assert (split == "test").mean() == pytest.approx(0.15, abs=0.02)
    assert rows["next_date"][split == "train"].max() < rows["next_date"][split == "validation"].min()


@pytest.mark.parametrize(
    ("clean", "said"),
    [
        ({"validation_from": "2030-01-01", "test_from": "2031-01-01"}, "no day left for validation and test"),
        ({"validation_from": "2018-01-01", "test_from": "2017-06-01"}, "validation must come first"),
        ({"history_days": 900}, "nothing can be forecast"),
    ],
)
def test_splits_that_cannot_be_are_refused_in_one_line(clean, said):
    case = Finance(clean=clean)
    rows = related(market(600), case)
    with pytest.raises(UserError, match=said):
        case.assign_split(rows, rows["ticker"])


def test_what_is_learnt_is_learnt_from_the_rows_given_and_from_no_target():
    rows = related(market(300)).iloc[30:].reset_index(drop=True)
    case = Finance(clean=DAYS)
    state = case.fit_preprocessing(rows.iloc[:200])
    assert state == case.fit_preprocessing(rows.iloc[:200].assign(next_return=9.0, next_variance=9.0))
    assert state != case.fit_preprocessing(rows)
    assert (state["window"], state["fear"]) == (22, False)


def test_a_volatility_index_is_that_of_the_day_and_never_of_a_later_one():
    level = pd.Series([10.0, 20.0, 30.0], index=pd.to_datetime(["2020-01-02", "2020-01-03", "2020-01-20"]))
    dates = pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-06", "2020-01-17", "2020-01-21", None]))
    found = price_sources.level_at_close(level, dates)
    np.testing.assert_array_equal(found, [np.nan, 10.0, 20.0, np.nan, 30.0, np.nan])


def test_a_past_in_which_the_index_is_not_known_is_none():
    rows = market(60).assign(fear=20.0)
    rows.loc[10, "fear"] = np.nan
    case = Finance(clean=DAYS, fetch={"path": "own.csv", "fear": "vix_close"})
    found = related(rows, case)["past"]
    assert found.notna().to_numpy().nonzero()[0].tolist() == list(range(32, 60))


def test_ones_own_table_is_read_by_its_usual_names_or_by_those_given(tmp_path):
    rows = market(40)
    usual = rows.rename(columns=str.capitalize).rename(columns={"Ticker": "Name"}).drop(columns=["File", "Row", "Fear"])
    usual.to_csv(tmp_path / "panel.csv", index=False)
    unusual = rows[["date", "open", "high", "low", "close"]].rename(columns={"close": "Last price"})
    unusual.to_csv(tmp_path / "SHARE.csv", index=False)
    (panel,) = Finance(fetch={"path": str(tmp_path / "panel.csv")}).load()
    assert (panel["ticker"].iloc[0], panel["row"].iloc[0]) == ("one", 2)
    case = Finance(fetch={"path": str(tmp_path / "SHARE.csv"), "close": "Last price"})
    (single,) = case.load()
    assert set(single["ticker"]) == {"SHARE"}
    assert (case.clean_partition(single)["fault"] == "").all()


def test_a_column_that_is_not_there_is_named_with_what_there_is(tmp_path):
    market(5)[["date", "open", "low", "volume"]].to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(UserError, match=r"no column for high, close; it has date, open, low, volume: name them in fetch"):
        next(Finance(fetch={"path": str(tmp_path / "short.csv")}).load())
    with pytest.raises(UserError, match=r"no column 'Opening'; .*It has date, open"):
        next(Finance(fetch={"path": str(tmp_path / "short.csv"), "open": "Opening"}).load())


def test_an_unknown_data_set_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'djia'"):
        registry.build("use_cases", "finance", {"fetch": {"dataset": "djla"}})


def predictions(seed=0, days=500, factor=1.0):
    generator = np.random.default_rng(seed)
    variance = np.exp(generator.normal(0, 0.5, days))
    returns = np.sqrt(variance) * generator.normal(size=days)
    said = factor * variance
    return pd.DataFrame(
        {
            "ticker": "one",
            "date": pd.bdate_range("2018-01-01", periods=days),
            "next_date": pd.bdate_range("2018-01-02", periods=days),
            "next_return": returns,
            "next_variance": variance * generator.gamma(5, 0.2, days),
            "variance": said,
            "quantile_5": -1.645 * np.sqrt(said),
            "quantile_1": -2.326 * np.sqrt(said),
        }
    )


def test_the_better_forecast_gains_and_says_how_surely():
    good, bad = predictions(), predictions(factor=3.0)
    case = Finance()
    gain = case.problem.compare_to_baseline(good, bad)
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert case.problem.compare_to_baseline(bad, good)["value"] == pytest.approx(-gain["value"])
    assert gain["value"] == pytest.approx(case.problem.metrics(bad)["qlike"] - case.problem.metrics(good)["qlike"])


def test_quantiles_that_are_undercut_too_often_forbid_a_release():
    assert Finance().problem.release_blockers(predictions()) == []
    said = Finance().problem.release_blockers(predictions(factor=0.2))
    assert len(said) == 2
    assert said[0].startswith("its 5% quantile is undercut on ")


def test_many_series_are_judged_each_by_itself_and_their_worst_times_their_number():
    both = pd.concat([predictions(seed).assign(ticker=f"s{seed}") for seed in range(4)], ignore_index=True)
    report = Finance().problem.report(both)
    first = [row for row in report["coverage"] if row["level"] == 0.05]
    assert [row["ticker"] for row in first] == ["all", "s0", "s1", "s2", "s3"]
    assert first[0]["kupiec_p"] == pytest.approx(min(1.0, 4 * min(row["kupiec_p"] for row in first[1:])))
    assert first[0]["hits"] == sum(row["hits"] for row in first[1:])
    assert "coin" in report["direction"]["verdict"]
    assert len(report["backtest"]["targeted"]["equity"]) == len(report["backtest"]["days"]) == 500


@pytest.mark.skipif(DATASETS_VARIABLE not in os.environ, reason=f"{DATASETS_VARIABLE} names no folder with the panels")
@pytest.mark.parametrize(
    ("dataset", "reasons", "fixes"),
    [
        ("djia", {"missing-open": 25, "impossible-bar": 28, "impossible-low": 1}, {"missing-days"}),
        ("stocknet", {"missing-open": 3, "no-trade": 111, "stale": 62}, {"missing-days"}),
    ],
)
def test_the_dirt_of_the_known_panels_is_found(dataset, reasons, fixes):
    case = Finance(fetch={"dataset": dataset})
    rows = pd.concat(list(case.load()), ignore_index=True)
    found = settled(rows, case)
    rejected = found[found["verdict"] != KEPT]
    assert rejected["reason"].map(reason_code).value_counts().to_dict() == reasons
    assert fixes <= {reason_code(fix) for said in found["fix"] if said for fix in said.split("; ")}
    assert len(found) == len(rows)


def test_packaged_prices_need_no_net_and_hold_two_indices():
    rows = pd.concat(list(Finance().load()))
    assert rows.groupby("ticker")["date"].agg(["min", "max", "count"]).loc["sp500"].tolist() == [
        pd.Timestamp("1999-01-04"),
        pd.Timestamp("2018-12-31"),
        5031,
    ]


def test_a_packed_table_is_read_too(tmp_path):
    path = Path(tmp_path / "one.csv.gz")
    with gzip.open(path, "wt") as file:
        market(30).drop(columns=["file", "row"]).to_csv(file, index=False)
    assert len(next(Finance(fetch={"path": str(path)}).load())) == 30


def written(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


HEADER = "Date,Open,High,Low,Close,Volume"
GOOD = "2020-01-06,10,11,9,10.5,100"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"own\.csv is empty \(0 bytes\)"),
        (HEADER + "\n", r"own\.csv has a header .* but no rows"),
        (f"{HEADER}\n{GOOD}\n".replace(",", ";"), r"own\.csv has one column when split at ','.*split at ';'"),
        (f"{HEADER.replace(',Low', '')}\n2020-01-06,10,11,10.5,100\n", r"own\.csv has no column for low; it has Date, Open"),
        (f"{HEADER}\n{GOOD}\n2020-01-07,10,11\n", r"own\.csv, line 3 has 3 fields, expected 6"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), r"own\.csv is encoded as UTF-16"),
        (f"{HEADER}\n{GOOD[:-3]}\xa0100\n".encode("latin-1"), r"own\.csv, line 2: byte .* is not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line_that_says_where(tmp_path, text, said):
    case = Finance(fetch={"path": str(written(tmp_path / "own.csv", text))})
    with pytest.raises(UserError, match=said) as refused:
        list(case.load())
    assert "\n" not in str(refused.value)


def test_what_is_wrong_in_a_row_is_quarantined_with_its_reason_and_line(tmp_path):
    lines = [
        GOOD,
        "2020-01-09,10.2,11,9,10.5,100",
        "2020-01-07,10.1,11,9,10.6,100",
        "2020-01-07,10.1,11,9,10.6,100",
        "2120-01-05,10,11,9,10.5,100",
        "2020-01-10,10,11,9,1,100",
        "2020-01-13,10,11,9,NaN,100",
        "2020-01-14,10,inf,9,10.5,100",
        "2020-01-15,,11,9,10.5,100",
        "2020-01-16,10,11,9,10.5,10",
    ]
    text = "\ufeff" + "\n".join([HEADER, *lines])
    (raw,) = Finance(fetch={"path": str(written(tmp_path / "own.csv", text))}).load()
    judged = Finance().clean_partition(raw)
    assert {row: reason_code(fault) for row, fault in zip(raw["row"], judged["fault"], strict=True) if fault} == {
        6: "future-date",
        7: "impossible-bar",
        8: "missing-close",
        9: "unreadable-high",
        10: "missing-open",
    }
    assert raw["doubt"].iloc[-1].startswith("cut-short")
