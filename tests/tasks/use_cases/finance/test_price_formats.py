"""Prices have the same values however a vendor writes dates and numbers; the calendar of a market is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import remarks
from tasks.use_cases.finance.use_case import Finance
from tests.support.price_bars import random_bars

DAYS = 60


def european(number: float) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def prices(**change: Any) -> pd.DataFrame:
    """A table of prices as text, around a thousand, with a change of some columns."""
    bars = random_bars(DAYS)
    names = ("open", "high", "low", "close")
    table = pd.DataFrame({name.capitalize(): [f"{10 * price:.2f}" for price in bars[name]] for name in names})
    table.insert(0, "Date", [f"{date:%Y-%m-%d}" for date in bars["date"]])
    table["Volume"] = [f"{volume:.0f}" for volume in bars["volume"]]
    return table.assign(**{name: [how(cell) for cell in table[name]] for name, how in change.items()})


def numbers(how: Callable[[float], str]) -> dict[str, Callable[[str], str]]:
    return dict.fromkeys(("Open", "High", "Low", "Close"), lambda cell: how(float(cell)))


def dates(pattern: str) -> dict[str, Callable[[str], str]]:
    return {"Date": lambda cell: pd.Timestamp(cell).strftime(pattern)}


def clean(path: Path, **fetch: Any) -> tuple[Any, list[str]]:
    """The cleaned bars of a file, and the sentences on it."""
    case = Finance(fetch={"path": str(path), **fetch})
    blocks = list(case.load())
    said = [text for block in blocks for text in remarks.take(block)]
    return case.clean_partition(pd.concat(blocks, ignore_index=True)), said


EXPECTED = prices()


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({}, {}),
        (numbers(european), {}),
        (numbers(european), {"sep": ";"}),
        (numbers(lambda price: f"{price:,.2f}"), {}),
        (numbers(lambda price: f"${price:,.2f}"), {}),
        (numbers(lambda price: f"{price:,.2f}".replace(",", " ")), {"sep": "\t"}),
        (dates("%d/%m/%Y"), {}),
        (dates("%m/%d/%Y"), {}),
        (dates("%d.%m.%y"), {"sep": "|"}),
        (dates("%b %d, %Y"), {}),
        (dates("%d-%B-%Y"), {}),
        (dates("%Y-%m-%d 00:00:00+09:00"), {}),
        (dates("%Y-%m-%dT00:00:00Z"), {}),
        (dates("%Y%m%d"), {}),
        ({"Date": lambda cell: str(pd.Timestamp(cell).value // 10**9)}, {}),
        ({"Date": lambda cell: str(pd.Timestamp(cell).value // 10**6)}, {}),
        ({"Date": lambda cell: str((pd.Timestamp(cell) - pd.Timestamp("1899-12-30")).days)}, {}),
    ],
)
def test_the_bars_of_a_file_are_those_that_are_meant(tmp_path: Path, change: Any, options: Any) -> None:
    prices(**change).to_csv(tmp_path / "own.csv", index=False, **options)
    bars, _ = clean(tmp_path / "own.csv")
    assert (bars["fault"] == "").all()
    assert [f"{date:%Y-%m-%d}" for date in bars["date"]] == EXPECTED["Date"].tolist()
    for name in ("Open", "High", "Low", "Close", "Volume"):
        np.testing.assert_allclose(bars[name.lower()], EXPECTED[name].astype(float))


@pytest.mark.parametrize(
    "names",
    [
        {"Close": "Close/Last"},
        {"Close": "Price", "Volume": "Vol."},
        {"Date": "<DATE>", "Open": "<OPEN>", "High": "<HIGH>", "Low": "<LOW>", "Close": "<CLOSE>", "Volume": "<VOL>"},
        {"Open": "1. open", "High": "2. high", "Low": "3. low", "Close": "4. close", "Volume": "5. volume", "Date": "timestamp"},
        {"Date": "日期", "Open": "开盘", "High": "最高", "Low": "最低", "Close": "收盘", "Volume": "成交量"},
        {"Date": "Datum", "Open": "Eröffnung", "High": "Hoch", "Low": "Tief", "Close": "Schlusskurs", "Volume": "Volumen"},
        {"Date": "Open time", "Volume": "Volume BTC"},
        {"Date": "Datum", "Open": "Erster", "High": "Hoch", "Low": "Tief", "Close": "Schlusskurs", "Volume": "Stuecke"},
    ],
)
def test_columns_are_known_by_the_names_that_vendors_give_them(tmp_path: Path, names: Any) -> None:
    EXPECTED.rename(columns=names).to_csv(tmp_path / "own.csv", index=False)
    bars, _ = clean(tmp_path / "own.csv")
    assert (bars["fault"] == "").all()
    np.testing.assert_allclose(bars[["close", "volume"]], EXPECTED[["Close", "Volume"]].astype(float))


def test_volumes_in_thousands_and_millions_are_read(tmp_path: Path) -> None:
    table = prices(Volume=lambda cell: f"{int(cell) / 1000:.2f}K")
    table.loc[0, "Volume"] = "1.25M"
    table.to_csv(tmp_path / "own.csv", index=False)
    bars, said = clean(tmp_path / "own.csv")
    assert bars["volume"].head(2).tolist() == [1_250_000.0, round(float(EXPECTED["Volume"][1]), -1)]
    assert said == ["own.csv: volume read with multiples (K, Mio., 万)"]


def test_volumes_in_ten_thousands_are_read(tmp_path: Path) -> None:
    prices(Volume=lambda cell: f"{int(cell) / 10_000:.4f}万").to_csv(tmp_path / "own.csv", index=False)
    bars, _ = clean(tmp_path / "own.csv")
    np.testing.assert_allclose(bars["volume"], EXPECTED["Volume"].astype(float))


def test_volumes_that_are_no_numbers_are_said_to_be_missing(tmp_path: Path) -> None:
    prices(Volume=lambda cell: f"{cell} pieces of it").to_csv(tmp_path / "own.csv", index=False)
    bars, said = clean(tmp_path / "own.csv")
    assert bars["volume"].isna().all()
    assert said == [f"own.csv: volume: {len(EXPECTED)} of {len(EXPECTED)} cells are no numbers and count as missing"]


def test_days_with_one_price_at_the_beginning_are_left_out_and_said(tmp_path: Path) -> None:
    table = prices()
    for name in ("Open", "High", "Low"):
        table.loc[:29, name] = table.loc[:29, "Close"]
    table.loc[35, ["Open", "High", "Low"]] = table.loc[35, "Close"]
    table.iloc[::-1].to_csv(tmp_path / "old.csv", index=False)
    bars, said = clean(tmp_path / "old.csv")
    assert len(bars) == len(table) - 30
    assert bars["date"].min() == pd.Timestamp(table.loc[30, "Date"])
    assert (bars["fault"] != "").sum() == 1
    first = f"{pd.Timestamp(table.loc[30, 'Date']):%Y-%m-%d}"
    assert said == [f"old.csv: 30 days of old before {first} left out: their four prices are one, so no range is known"]


def test_a_few_days_with_one_price_are_stale_bars(tmp_path: Path) -> None:
    table = prices()
    for name in ("Open", "High", "Low"):
        table.loc[:9, name] = table.loc[:9, "Close"]
    table.to_csv(tmp_path / "own.csv", index=False)
    bars, _ = clean(tmp_path / "own.csv")
    assert bars["fault"].str.startswith("stale").sum() == 10


def test_a_file_whose_days_all_have_one_price_has_no_early_days(tmp_path: Path) -> None:
    table = prices()
    for name in ("Open", "High", "Low"):
        table[name] = table["Close"]
    table.to_csv(tmp_path / "own.csv", index=False)
    bars, said = clean(tmp_path / "own.csv")
    assert len(bars) == len(table)
    assert said == []


def test_a_market_of_seven_days_is_found_or_set(tmp_path: Path) -> None:
    every = [f"{date:%Y-%m-%d}" for date in pd.date_range("2017-01-02", periods=DAYS)]
    EXPECTED.assign(Date=every).to_csv(tmp_path / "coin.csv", index=False)
    bars, said = clean(tmp_path / "coin.csv")
    assert (bars["fault"] == "").all()
    assert said == ["coin.csv: a market of seven days (calendar every_day)"]
    bars, _ = clean(tmp_path / "coin.csv", calendar="weekdays")
    assert bars["fault"].str.startswith("weekend: ").sum() == 16


def test_several_bars_a_day_keep_their_hours(tmp_path: Path) -> None:
    hours = [f"{time:%Y-%m-%d %H:%M}" for time in pd.date_range("2017-01-02 09:30", periods=DAYS, freq="h")]
    EXPECTED.assign(Date=hours).to_csv(tmp_path / "own.csv", index=False)
    bars, said = clean(tmp_path / "own.csv")
    assert (bars["fault"] == "").all()
    assert bars["date"].iloc[1] == pd.Timestamp("2017-01-02 10:30")
    assert said == ["own.csv: several bars a day (calendar hourly)"]
    apart = EXPECTED.assign(Date=[time[:10] for time in hours], Time=[time[11:] for time in hours])
    apart.to_csv(tmp_path / "apart.csv", index=False)
    pd.testing.assert_series_equal(clean(tmp_path / "apart.csv")[0]["date"], bars["date"])


def test_a_week_of_seven_days_reaches_the_network_and_one_of_five_changes_nothing() -> None:
    case = Finance(clean={"history_days": 22})
    for start, week in ((pd.bdate_range, None), (pd.date_range, 7)):
        rows = random_bars(200).assign(date=lambda table, start=start: start("2017-01-02", periods=len(table)))
        calendar = '{"dates": "iso", "prices": {}, "volume": {}, "calendar": "every_day"}'
        cleaned = case.clean_partition(rows.assign(format=calendar))
        added = case.clean_table(cleaned)[["past", "next_variance", "next_return"]]
        usable = cleaned.join(added).dropna(subset=["past", "next_return"])
        state = case.fit_preprocessing(usable)
        assert state.get("week") == week
        inputs, _ = case.encode(usable, state)
        expected = (usable["date"].dt.day_of_week + 1) % (week or 5)
        np.testing.assert_array_equal(inputs[:, -1, 3], expected)
        case.build_model(state)


def test_files_of_one_folder_may_be_written_differently(tmp_path: Path) -> None:
    for name, change in (("A", {}), ("B", {}), ("C", dates("%d.%m.%Y"))):
        prices(**change).to_csv(tmp_path / f"{name}.csv", index=False)
    bars, said = clean(tmp_path)
    assert (bars["fault"] == "").all()
    assert bars.groupby("ticker")["date"].min().nunique() == 1
    assert said == ["C.csv: dates read with day first"]


def test_years_that_stand_for_nothing_are_faults(tmp_path: Path) -> None:
    table = EXPECTED.copy()
    table.loc[[1, 2, 3], "Date"] = ["0000-01-01", "1600-01-04", "9999-12-31"]
    table.to_csv(tmp_path / "own.csv", index=False)
    bars, _ = clean(tmp_path / "own.csv")
    assert bars["fault"].iloc[1] == "unreadable-date: '0000-01-01', expected YYYY-MM-DD of the years 1700 to 2200"
    assert (bars["fault"] != "").sum() == 3


def test_a_file_without_a_header_is_given_its_columns(tmp_path: Path) -> None:
    EXPECTED.to_csv(tmp_path / "own.txt", index=False, header=False, sep=";")
    bars, _ = clean(tmp_path / "own.txt", columns="date, open, high, low, close, volume")
    np.testing.assert_allclose(bars["close"], EXPECTED["Close"].astype(float))


def test_prices_have_no_files_for_splits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="prices are split by time"):
        Finance(fetch={"train": str(tmp_path / "a.csv"), "test": str(tmp_path / "b.csv")}).load()
