"""Generated daily bars, and their cleaning, for tests."""

from typing import Any

import numpy as np
import pandas as pd

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.core.splits import row_keys
from tasks.use_cases.finance.use_case import Finance

TODAY = pd.Timestamp("2020-06-30")
DAYS = {"history_days": 22, "validation_from": "2018-07-02", "test_from": "2019-01-02"}


def random_bars(days: Any = 600, seed: Any = 0, ticker: Any = "one", start: Any = "2017-01-02") -> Any:
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


def clean_series(rows: Any, case: Any = None) -> Any:
    """The valid rows, with the columns of `clean_partition` and `clean_table`."""
    case = case or Finance(clean=DAYS)
    cleaned = case.clean_partition(rows)
    good = cleaned[cleaned["fault"] == ""]
    return good.drop(columns=["fault", "fix"]).join(case.clean_table(good))


def clean_and_split(rows: Any, case: Any = None) -> Any:
    case = case or Finance(clean=DAYS)
    cleaned = case.clean_partition(rows).assign(file=rows["file"], row=rows["row"], part=0, key="")
    good = cleaned["fault"] == ""
    cleaned.loc[good, "key"] = row_keys(cleaned[good], case.unique_key)
    return deduplicate_and_split(case, cleaned.reset_index(drop=True))


def clean_bar(**change: Any) -> Any:
    """The fault and the fix of one bar that is good but for this change."""
    bar = {"ticker": "one", "date": "2020-01-06", "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5}
    bar |= {"volume": 100.0, "fear": None, "mood": None, "buzz": None}
    found = Finance().clean_partition(pd.DataFrame([bar | change])).iloc[0]
    return found["fault"], found["fix"]


def changing_volatility(ticker: str, seed: int, days: int = 420) -> pd.DataFrame:
    """Prices of one series whose volatility rises and falls."""
    numbers = np.random.default_rng(seed)
    deviation = 0.006 + 0.012 * np.abs(np.sin(np.arange(days) / 45)) ** 3
    close = 100 * np.exp(np.cumsum(numbers.normal(0, 1, days) * deviation))
    start = np.r_[100, close[:-1]] * np.exp(numbers.normal(0, 1, days) * deviation / 4)
    high, low = np.maximum(start, close) * (1 + deviation / 2), np.minimum(start, close) * (1 - deviation / 2)
    dates = pd.bdate_range("2024-01-01", periods=days)
    columns = {
        "ticker": ticker,
        "date": dates,
        "open": start,
        "high": high,
        "low": low,
        "close": close,
        "volume": 1e6,
    }
    return pd.DataFrame(columns)
