"""Read rows of daily prices: packaged indices, panels of stocks, or the user's CSV and parquet files.

Each row holds raw `ticker`, `date`, `open`, `high`, `low`, `close` and `volume`, `fear` (a volatility index at that day's close,
NaN without one), `file` and `row`; rows read from text also `doubt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.core.errors import UserError
from tasks.data import sources, table_files
from tasks.data.downloads import download
from tasks.use_cases.finance import ohlc_bars

if TYPE_CHECKING:
    from pandas import DataFrame, Series

COLUMNS = ("ticker", "date", *ohlc_bars.PRICES, "volume", "fear")
REQUIRED_COLUMNS = ("date", *ohlc_bars.PRICES)
READER_COLUMNS = ("file", "row", "doubt")
"""Columns that the table reader adds."""
COLUMN_ALIASES = {
    "ticker": ("ticker", "symbol", "name", "stock", "instrument"),
    "date": ("date", "timestamp", "datetime", "time", "day"),
    "open": ("open", "open price"),
    "high": ("high", "high price"),
    "low": ("low", "low price"),
    "close": ("close", "close price", "last"),
    "volume": ("volume", "vol"),
    "fear": ("fear", "vix"),
}
"""Names of each column in users' files, in any case."""
MAX_VIX_AGE_DAYS = 7
"""A day without a quote of the volatility index takes the last one, if it is at most this old."""
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".txt", ".gz", ".xz", ".bz2")


@dataclass(frozen=True, slots=True)
class PriceDataset:
    """A data set by name: series that ship with `arch`, or a file that must be in the local dataset folder."""

    packaged: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""


DATASETS = {
    "indices": PriceDataset(("sp500", "nasdaq")),
    "sp500": PriceDataset(("sp500",)),
    "nasdaq": PriceDataset(("nasdaq",)),
    "djia": PriceDataset(
        file="finance/all_stocks_2006-01-01_to_2018-01-01.csv.gz",
        sha256="ce1008878ab19f3527afab6a244b0317876386717ebdd79c84e1ab65fbddeb1b",
    ),
    "stocknet": PriceDataset(
        file="finance/stocknet_price_raw_88.csv.gz",
        sha256="1593f71be0e5b0e8507ceeaeae7eb776f06b7de1b0192df63ff277e36bbc2367",
    ),
}
"""`indices`, `sp500` and `nasdaq` (1999 to 2018, Yahoo Finance) ship with arch; `djia`: 31 shares of the Dow Jones index,
2006 to 2017 (Google Finance); `stocknet`: 88 shares, 2012 to 2017 (Yahoo Finance; Xu and Cohen, ACL 2018)."""
VIX_DATASET = PriceDataset(
    file="finance/vix-daily.csv.gz", sha256="fe9aee69319214c78d982860b7d8191f62cd16622e5cb9c66f2c5fd11815a863"
)
"""The volatility index of the Chicago Board Options Exchange since 1990; the series in arch begins in 2014."""


def read_packaged(names: tuple[str, ...]) -> Iterator[DataFrame]:
    """Rows of indices that ship with arch."""
    from importlib import import_module

    for name in names:
        frame = import_module(f"arch.data.{name}").load().reset_index()
        rows = pd.DataFrame({column: frame[column.capitalize()] for column in (*REQUIRED_COLUMNS, "volume")})
        rows["volume"] = rows["volume"].astype("float64")
        yield rows.assign(ticker=name, fear=np.nan, file=f"arch/data/{name}", row=range(len(frame)))[[*COLUMNS, "file", "row"]]


def read_dataset(name: str) -> Iterator[DataFrame]:
    """Rows of a data set by name."""
    chosen = DATASETS[name]
    if chosen.packaged:
        return read_packaged(chosen.packaged)
    return read_path(download((), chosen.sha256, chosen.file), {})


def read_path(source: Path, columns: Mapping[str, str]) -> Iterator[DataFrame]:
    """Rows of a table, or of all tables in a folder; `columns` maps columns to their names in the file.

    Without a ticker column, the ticker is the file's name: AAPL.csv.
    """
    files = (
        [source] if source.is_file() else [path for path in sources.list_files(source) if path.suffix.lower() in TABLE_SUFFIXES]
    )
    if not files:
        raise UserError(f"{source} holds no table ({', '.join(TABLE_SUFFIXES)}); expected daily prices, one row a day")
    for path in files:
        shown_name = path.name if source.is_file() else path.relative_to(source).as_posix()
        file_columns: dict[str, str] | None = None
        for block in table_files.read_table(path, file_name=shown_name):
            file_columns = file_columns or map_columns(
                path, [str(column) for column in block if column not in READER_COLUMNS], columns
            )
            rows = pd.DataFrame({column: block[file_columns[column]] for column in COLUMNS if column in file_columns})
            if "ticker" not in file_columns:
                rows["ticker"] = path.name.partition(".")[0]
            for column in ("volume", "fear"):
                rows[column] = rows[column] if column in file_columns else np.nan
            yield rows[list(COLUMNS)].join(block[[column for column in READER_COLUMNS if column in block]])


def map_columns(path: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The name in the file of each column. Raises `UserError` with all missing columns."""
    requested = {column: name for column, name in columns.items() if name}
    table_files.check_columns(path, header, list(requested.values()))
    by_alias = {name.strip().lower().replace("_", " "): name for name in reversed(header)}
    names_in_file = dict(requested)
    for column, names in COLUMN_ALIASES.items():
        for name in names:
            if column not in names_in_file and name in by_alias:
                names_in_file[column] = by_alias[name]
    if missing := [column for column in REQUIRED_COLUMNS if column not in names_in_file]:
        raise UserError(
            f"{path} has no column for {', '.join(missing)}; it has {', '.join(header)[:200]}: "
            f"name {'it' if len(missing) == 1 else 'them'} in fetch, as in fetch.{missing[0]}=<column>"
        )
    return names_in_file


def join_vix(blocks: Iterator[DataFrame]) -> Iterator[DataFrame]:
    """The rows with `fear`, the VIX at each day's close."""
    path = download((), VIX_DATASET.sha256, VIX_DATASET.file)
    index = pd.concat(list(table_files.read_table(path, ["DATE", "CLOSE"])))
    closes = pd.Series(ohlc_bars.parse_numbers(index["CLOSE"]).to_numpy(), index=ohlc_bars.parse_dates(index["DATE"]))
    level = closes.dropna().sort_index()
    for block in blocks:
        yield block.assign(fear=level_at_close(level, ohlc_bars.parse_dates(block["date"])))


def level_at_close(level: Series, date: Series) -> Series:
    """The index on each date, or the last value before it; NaN where that is more than `MAX_VIX_AGE_DAYS` old."""
    position = level.index.searchsorted(date, side="right") - 1
    quoted = level.index[np.maximum(position, 0)]
    fresh = (position >= 0) & ((date - quoted.to_numpy()).dt.days <= MAX_VIX_AGE_DAYS).to_numpy()
    return pd.Series(np.where(fresh, level.to_numpy()[np.maximum(position, 0)], np.nan), index=date.index)
