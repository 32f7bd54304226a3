"""Reading daily prices: packaged indices, users' tables and the volatility index."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.cleaning.quality_report import reason_code
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.use_cases.finance import price_sources
from tasks.use_cases.finance.use_case import Finance
from tests.support.price_bars import DAYS, clean_series, random_bars


def test_a_volatility_index_is_that_of_the_day_and_never_of_a_later_one() -> None:
    level = pd.Series([10.0, 20.0, 30.0], index=pd.to_datetime(["2020-01-02", "2020-01-03", "2020-01-20"]))
    dates = pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-06", "2020-01-17", "2020-01-21", None]))
    levels = price_sources.level_at_close(level, dates)
    np.testing.assert_array_equal(levels, [np.nan, 10.0, 20.0, np.nan, 30.0, np.nan])


def test_a_past_in_which_the_index_is_not_known_is_none() -> None:
    rows = random_bars(60).assign(fear=20.0)
    rows.loc[10, "fear"] = np.nan
    case = Finance(clean=DAYS, fetch={"path": "own.csv", "fear": "vix_close"})
    windows = clean_series(rows, case)["past"]
    assert windows.notna().to_numpy().nonzero()[0].tolist() == list(range(32, 60))


def test_ones_own_table_is_read_by_its_usual_names_or_by_those_given(tmp_path: Path) -> None:
    rows = random_bars(40)
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


def test_a_column_that_is_not_there_is_named_with_what_there_is(tmp_path: Path) -> None:
    random_bars(5)[["date", "open", "low", "volume"]].to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(UserError, match=r"no column for high, close; it has date, open, low, volume: name them in fetch"):
        next(Finance(fetch={"path": str(tmp_path / "short.csv")}).load())
    with pytest.raises(UserError, match=r"no column 'Opening'; it has date, open"):
        next(Finance(fetch={"path": str(tmp_path / "short.csv"), "open": "Opening"}).load())


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'djia'"):
        registry.build("use_cases", "finance", {"fetch": {"dataset": "djla"}})


def test_packaged_prices_need_no_net_and_hold_two_indices() -> None:
    rows = pd.concat(list(Finance().load()))
    assert rows.groupby("ticker")["date"].agg(["min", "max", "count"]).loc["sp500"].tolist() == [
        pd.Timestamp("1999-01-04"),
        pd.Timestamp("2018-12-31"),
        5031,
    ]


def test_a_packed_table_is_read_too(tmp_path: Path) -> None:
    path = Path(tmp_path / "one.csv.gz")
    with gzip.open(path, "wt") as file:
        random_bars(30).drop(columns=["file", "row"]).to_csv(file, index=False)
    assert len(next(Finance(fetch={"path": str(path)}).load())) == 30


def written(path: Any, text: Any) -> Any:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


HEADER = "Date,Open,High,Low,Close,Volume"
GOOD = "2020-01-06,10,11,9,10.5,100"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"own\.csv is empty \(0 bytes\)"),
        (HEADER + "\n", r"own\.csv has a header .* but no rows"),
        (f"{HEADER.replace(',Low', '')}\n2020-01-06,10,11,10.5,100\n", r"own\.csv has no column for low; it has Date, Open"),
        (f"{HEADER}\n{GOOD}\n2020-01-07,10,11\n", r"own\.csv, line 3 has 3 fields, expected 6"),
        (f"{HEADER},close\n{GOOD},10.5\n", r"own\.csv: 'Close' and 'close' may both be the close; name one, as in fetch"),
        (f"{GOOD}\n{GOOD}\n", r"does it begin with its rows\? Then name all columns, as in fetch\.columns=date,open"),
        (f"{HEADER}\n01/02/2020,10,11,9,10.5,100\n", r"may begin with the day or the month; set fetch\.dates=day_first"),
        (f"{HEADER}\n{GOOD[:-3]}\xa0100\n".encode("latin-1"), r"own\.csv, line 2: byte .* is not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line_that_says_where(tmp_path: Path, text: Any, message: Any) -> None:
    case = Finance(fetch={"path": str(written(tmp_path / "own.csv", text))})
    with pytest.raises(UserError, match=message) as refused:
        list(case.load())
    assert "\n" not in str(refused.value)


def test_what_is_wrong_in_a_row_is_quarantined_with_its_reason_and_line(tmp_path: Path) -> None:
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
    cleaned = Finance().clean_partition(raw)
    assert {row: reason_code(fault) for row, fault in zip(raw["row"], cleaned["fault"], strict=True) if fault} == {
        6: "future-date",
        7: "impossible-bar",
        8: "missing-close",
        9: "unreadable-high",
        10: "missing-open",
    }
    assert raw["doubt"].iloc[-1].startswith("cut-short")


def head_refusal(path: Path, **fetch: Any) -> str:
    with pytest.raises(UserError) as refused:
        Finance(fetch={"path": str(path), **fetch}).check_head()
    return str(refused.value).removeprefix(f"{path}")


def test_a_source_without_dates_or_prices_is_refused_by_its_head(tmp_path: Path) -> None:
    bars = random_bars(80)[["date", "open", "high", "low", "close"]]
    bars.to_csv(tmp_path / "good.csv", index=False)
    Finance(fetch={"path": str(tmp_path / "good.csv")}).check_head()
    bars.assign(date="yesterday").to_csv(tmp_path / "own.csv", index=False)
    assert head_refusal(tmp_path / "own.csv").startswith(": no date is read in its date column, which begins with 'yesterday'")
    bars.assign(date=bars["date"].dt.strftime("%y%m%d")).to_csv(tmp_path / "own.csv", index=False)
    assert "no date is read in its date column" in head_refusal(tmp_path / "own.csv")
    bars.assign(low="cheap").to_csv(tmp_path / "own.csv", index=False)
    assert head_refusal(tmp_path / "own.csv").startswith(": the column of low holds no numbers but 'cheap'; name another in")
    bars[["date", "close"]].to_csv(tmp_path / "own.csv", index=False)
    assert "no column for open, high, low; it has date, close: each day and ticker needs a row" in head_refusal(
        tmp_path / "own.csv"
    )
    assert "did you mean 'close'?" in head_refusal(tmp_path / "good.csv", close="clsoe")
    (tmp_path / "empty").mkdir()
    assert "holds no table" in head_refusal(tmp_path / "empty")


def test_names_on_three_lines_as_yfinance_writes_them_are_read(tmp_path: Path) -> None:
    bars = random_bars(5)
    lines = ["Price,Close,High,Low,Open,Volume", "Ticker,ABC,ABC,ABC,ABC,ABC", "Date,,,,,"]
    lines += [f"{row.date:%Y-%m-%d},{row.close},{row.high},{row.low},{row.open},{row.volume}" for row in bars.itertuples()]
    (rows,) = Finance(fetch={"path": str(written(tmp_path / "own.csv", "\n".join([*lines, ""])))}).load()
    assert rows["ticker"].tolist() == ["ABC"] * 5
    assert rows["close"].astype(float).tolist() == bars["close"].tolist()
    assert rows["row"].tolist() == [4, 5, 6, 7, 8]


def test_notes_beside_tables_are_no_prices(tmp_path: Path) -> None:
    random_bars(5).to_csv(tmp_path / "A.csv", index=False)
    (tmp_path / "notes.txt").write_text("bought on Monday\n")
    (rows,) = Finance(fetch={"path": str(tmp_path)}).load()
    assert len(rows) == 5
