"""Which column of a table of prices is which, by the names that data vendors and spreadsheets of several languages give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.core.errors import UserError
from tasks.data import table_files
from tasks.use_cases.finance.price_formats import PRICES

REQUIRED_COLUMNS = ("date", *PRICES)
COLUMN_ALIASES = {
    "ticker": ("ticker", "symbol", "name", "stock", "instrument", "代码"),
    "date": (
        *("date", "timestamp", "datetime", "time", "day", "trade date", "open time", "unix", "日期", "交易日期"),
        *("datum", "fecha", "data", "дата", "日付", "날짜", "일자", "t"),
    ),
    "open": (
        *("open", "open price", "opening price", "o", "开盘", "开盘价", "始値", "시가"),
        *("eröffnung", "eröffnungskurs", "erster", "anfangskurs", "apertura", "ouverture", "otwarcie"),
    ),
    "high": (
        *("high", "high price", "h", "最高", "最高价", "高値", "고가"),
        *("hoch", "höchst", "tageshoch", "máximo", "plus haut", "najwyzszy"),
    ),
    "low": (
        *("low", "low price", "l", "最低", "最低价", "安値", "저가"),
        *("tief", "tiefst", "tagestief", "mínimo", "plus bas", "najnizszy"),
    ),
    "close": (
        *("close", "close price", "closing price", "close/last", "last", "price", "收盘", "收盘价"),
        *("schluss", "schlusskurs", "zuletzt", "cierre", "último", "clôture", "dernier", "zamkniecie", "終値", "종가", "c"),
    ),
    "volume": (
        *("volume", "vol", "tick volume", "tickvol", "成交量", "volumen", "wolumen", "出来高", "거래량", "v"),
        *("stücke", "stuecke", "stück"),
    ),
    "fear": ("fear", "vix"),
}
"""Names of each column in users' files, in any case; the first one that is there is taken."""
TIME_NAMES = ("time", "hour", "时间", "uhrzeit")
"""Names of a column with the time of day, beside that of the date."""


def map_columns(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The name in the file of each column, and of the `time` of day if it has a column of its own.

    `columns` are the names that are set. Raises a `UserError` with all missing columns, or with two of the same name.
    """
    requested = {column: name.strip() for column, name in columns.items() if name}
    table_files.check_columns(path, header, list(requested.values()))
    by_alias: dict[str, list[str]] = {}
    for name in header:
        by_alias.setdefault(_plain(name), []).append(name)
    names_in_file = dict(requested)
    for column, aliases in COLUMN_ALIASES.items():
        detected = [by_alias[alias] for alias in aliases if alias in by_alias]
        if column in names_in_file or not detected:
            continue
        if len(detected[0]) > 1:
            raise UserError(
                f"{path}: {' and '.join(map(repr, detected[0]))} may both be the {column}; "
                f"name one, as in fetch.{column}={detected[0][0]}"
            )
        names_in_file[column] = detected[0][0]
    if "volume" not in names_in_file and (volumes := [name for name in header if _plain(name).startswith(("volume ", "vol "))]):
        names_in_file["volume"] = volumes[0]
    times = [name for alias in TIME_NAMES for name in by_alias.get(alias, []) if name != names_in_file.get("date")]
    if times:
        names_in_file["time"] = times[0]
    if missing := [column for column in REQUIRED_COLUMNS if column not in names_in_file]:
        of_closes = "date" in names_in_file and not {"open", "high", "low"} & set(names_in_file)
        headless = any(re.fullmatch(r"[\d.,:/-]+", name) for name in header)
        raise UserError(
            f"{path} has no column for {', '.join(missing)}; it has {', '.join(header)[:200]}: "
            + (
                "does it begin with its rows? Then name all columns, as in fetch.columns=date,open,high,low,close"
                if headless and len(missing) > 1
                else "each day and ticker needs a row with open, high, low and close; with closes alone no range is known"
                if of_closes
                else f"name {'it' if len(missing) == 1 else 'them'} in fetch, as in fetch.{missing[0]}=<column>"
            )
        )
    return names_in_file


def _plain(name: str) -> str:
    """A name as aliases are written: "<CLOSE>", "4. close" and "Vol." are close and vol."""
    return re.sub(r"^\d+\.\s*", "", name.strip().strip("<>").lower().replace("_", " ")).rstrip(".").strip()
