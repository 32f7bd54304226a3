"""The finance use case: splits by date, preprocessing, comparison with baselines and the checks before a release."""

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.cleaning.deduplication import KEPT
from tasks.cleaning.quality_report import reason_code
from tasks.core.errors import UserError
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.use_cases.finance.use_case import Finance
from tests.support.price_bars import DAYS, clean_and_split, clean_series, random_bars


def test_splits_follow_the_day_that_is_forecast_and_keep_a_distance() -> None:
    rows = clean_series(random_bars(600))
    case = Finance(clean=DAYS)
    split = case.assign_split(rows, rows["ticker"])
    day = rows["next_date"]
    assert day[split == "train"].max() < pd.Timestamp("2018-07-02") - pd.Timedelta(days=5)
    assert day[split == "validation"].min() == pd.Timestamp("2018-07-02")
    assert day[split == "test"].min() == pd.Timestamp("2019-01-02")
    assert (split[rows["past"].isna() | day.isna()] == "context").all()
    until = Finance(clean=DAYS | {"test_until": "2019-02-28"})
    assert day[until.assign_split(rows, rows["ticker"]) == "test"].max() == pd.Timestamp("2019-02-28")


def test_without_dates_the_splits_take_their_share_of_the_days() -> None:
    rows = clean_series(random_bars(600))
    split = Finance(clean={"history_days": 22}).assign_split(rows, rows["ticker"])
    assert (split == "test").mean() == pytest.approx(0.15, abs=0.02)
    assert rows["next_date"][split == "train"].max() < rows["next_date"][split == "validation"].min()


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        ({"validation_from": "2030-01-01", "test_from": "2031-01-01"}, "no day left for validation and test"),
        ({"validation_from": "2018-01-01", "test_from": "2017-06-01"}, "validation must come first"),
        ({"history_days": 900}, "nothing can be forecast"),
    ],
)
def test_splits_that_cannot_be_are_refused_in_one_line(clean: Any, message: Any) -> None:
    case = Finance(clean=clean)
    rows = clean_series(random_bars(600), case)
    with pytest.raises(UserError, match=message):
        case.assign_split(rows, rows["ticker"])


def test_preprocessing_is_fitted_on_the_train_rows_and_on_no_target() -> None:
    rows = clean_series(random_bars(300)).iloc[30:].reset_index(drop=True)
    case = Finance(clean=DAYS)
    state = case.fit_preprocessing(rows.iloc[:200])
    assert state == case.fit_preprocessing(rows.iloc[:200].assign(next_return=9.0, next_variance=9.0))
    assert state != case.fit_preprocessing(rows)
    assert (state["window"], state["fear"]) == (22, False)


def predictions(seed: Any = 0, days: Any = 500, factor: Any = 1.0) -> Any:
    generator = np.random.default_rng(seed)
    variance = np.exp(generator.normal(0, 0.5, days))
    returns = np.sqrt(variance) * generator.normal(size=days)
    forecast = factor * variance
    return pd.DataFrame(
        {
            "ticker": "one",
            "date": pd.bdate_range("2018-01-01", periods=days),
            "next_date": pd.bdate_range("2018-01-02", periods=days),
            "next_return": returns,
            "next_variance": variance * generator.gamma(5, 0.2, days),
            "variance": forecast,
            "quantile_5": -1.645 * np.sqrt(forecast),
            "quantile_1": -2.326 * np.sqrt(forecast),
        }
    )


def test_the_better_forecast_gains_with_an_interval() -> None:
    good, bad = predictions(), predictions(factor=3.0)
    case = Finance()
    gain = case.problem.compare_to_baseline(good, bad)
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert case.problem.compare_to_baseline(bad, good)["value"] == pytest.approx(-gain["value"])
    assert gain["value"] == pytest.approx(case.problem.metrics(bad)["qlike"] - case.problem.metrics(good)["qlike"])


def test_quantiles_that_are_undercut_too_often_forbid_a_release() -> None:
    assert Finance().problem.release_blockers(predictions()) == []
    blockers = Finance().problem.release_blockers(predictions(factor=0.2))
    assert len(blockers) == 2
    assert blockers[0].startswith("its 5% quantile is undercut on ")


def test_many_series_are_tested_one_by_one_with_a_bonferroni_correction() -> None:
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
def test_the_known_errors_of_the_panels_are_found(dataset: Any, reasons: Any, fixes: Any) -> None:
    case = Finance(fetch={"dataset": dataset})
    rows = pd.concat(list(case.load()), ignore_index=True)
    cleaned = clean_and_split(rows, case)
    rejected = cleaned[cleaned["verdict"] != KEPT]
    assert rejected["reason"].map(reason_code).value_counts().to_dict() == reasons
    assert fixes <= {reason_code(fix) for repairs in cleaned["fix"] if repairs for fix in repairs.split("; ")}
    assert len(cleaned) == len(rows)
