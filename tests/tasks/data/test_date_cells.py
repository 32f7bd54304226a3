"""Dates are the calendar day that is written; the order of day and month is found once per column."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tasks.data.date_cells import DateEvidence, read_dates


def read(*cells: Any) -> list[str]:
    column = pd.Series(list(cells))
    evidence = DateEvidence()
    evidence.add(column)
    form = evidence.form()
    assert form is not None
    return [str(date).removesuffix(" 00:00:00") for date in read_dates(column, form)]


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["2021-01-04", "2021/1/5", "2021.01.06", "20210107"], ["2021-01-04", "2021-01-05", "2021-01-06", "2021-01-07"]),
        (["04/01/2021", "15/01/2021"], ["2021-01-04", "2021-01-15"]),
        (["01/04/2021", "01/15/2021"], ["2021-01-04", "2021-01-15"]),
        (["04.01.2021", "05.01.2021"], ["2021-01-04", "2021-01-05"]),
        (["4.1.21", "31.12.99"], ["2021-01-04", "1999-12-31"]),
        (["Sep 08, 2023", "September 7, 2023"], ["2023-09-08", "2023-09-07"]),
        (["04-Jan-21", "Mon, 5 January 2021", "6th Mar 2021"], ["2021-01-04", "2021-01-05", "2021-03-06"]),
        (["4. Januar 2021", "5 mars 2021", "6 de mayo de 2021"], ["2021-01-04", "2021-03-05", "2021-05-06"]),
        (["2021年1月4日"], ["2021-01-04"]),
        (["4 янв 2021", "5-mrt-2021", "6 maj 2021", "7 paź 2021"], ["2021-01-04", "2021-03-05", "2021-05-06", "2021-10-07"]),
        (["20210104", "201102"], ["2021-01-04", "NaT"]),
        (["2021-01-04 00:00:00+09:00", "2021-01-05T00:00:00-0500"], ["2021-01-04", "2021-01-05"]),
        (["2021-01-04T16:00:00Z", "2021-01-04 16:00 EST"], ["2021-01-04 16:00:00"] * 2),
        (["2021-01-04 16:00:00 America/New_York", "2021-01-04 4:00 PM"], ["2021-01-04 16:00:00"] * 2),
        (["20210104 170000"], ["2021-01-04 17:00:00"]),
        (["1609718400", "1.6098048E9"], ["2021-01-04", "2021-01-05"]),
        ([1609718400000, 1609804800000], ["2021-01-04", "2021-01-05"]),
        (["1609718400000000"], ["2021-01-04"]),
        ([1609718400000000000], ["2021-01-04"]),
        ([20210104, 20210105], ["2021-01-04", "2021-01-05"]),
        (["44200", "44201.5"], ["2021-01-04", "2021-01-05 12:00:00"]),
        (["0000-01-01", "1600-01-01", "9999-12-31", "2021-13-01", "2021-02-30", "x", ""], ["NaT"] * 7),
    ],
)
def test_a_column_is_read_with_the_days_that_are_meant(cells: Any, dates: Any) -> None:
    assert read(*cells) == dates


def test_typed_dates_keep_the_day_of_their_zone() -> None:
    tokyo = pd.Series(pd.to_datetime(["2021-01-04"])).dt.tz_localize("Asia/Tokyo")
    assert read_dates(tokyo).tolist() == [pd.Timestamp("2021-01-04")]
    assert read_dates(pd.Series(pd.to_datetime(["1690-01-04", "2021-01-04"]))).isna().tolist() == [True, False]


def test_the_order_of_rows_tells_day_and_month_apart() -> None:
    assert read("01/11/2022", "02/11/2022", "01/12/2022", "01/01/2023")[1] == "2022-11-02"
    assert read("11/01/2022", "11/02/2022", "12/01/2022", "01/01/2023")[1] == "2022-11-02"


def test_a_column_that_may_be_either_is_left_open() -> None:
    evidence = DateEvidence()
    evidence.add(pd.Series(["01/02/2021", "01/03/2021", "01/04/2021"]))
    assert evidence.form() is None
