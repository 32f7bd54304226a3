"""Read rows of daily prices: packaged indices, panels of stocks, or the user's CSV and parquet files.

Each row holds raw `ticker`, `date`, `open`, `high`, `low`, `close` and `volume`, `fear` (a volatility index at that day's close,
NaN without one), `file` and `row`; rows of tables also `format` (see `price_formats`), rows read from text also `doubt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.core.errors import UserError
from tasks.data import remarks, sources, table_files
from tasks.data.date_cells import read_dates
from tasks.data.downloads import download
from tasks.data.number_cells import Decimal, is_missing, read_numbers
from tasks.data.tables.csv_layout import NAMES
from tasks.use_cases.finance.price_columns import REQUIRED_COLUMNS, map_columns
from tasks.use_cases.finance.price_formats import PRICES, PriceEvidence, PriceFormat, bar_dates

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from tasks.use_cases.finance.settings import PriceFetch

COLUMNS = ("ticker", "date", *PRICES, "volume", "fear")
DECIMALS: dict[str, Decimal | None] = {"auto": None, "point": ".", "comma": ","}
READER_COLUMNS = ("file", "row", "doubt")
"""Columns that the table reader adds."""
MAX_VIX_AGE_DAYS = 7
"""A day without a quote of the volatility index takes the last one, if it is at most this old."""
TABLE_SUFFIXES = (
    *(".csv", ".tsv", ".tab", ".psv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".xlsx", ".npz"),
    *(".gz", ".xz", ".bz2", ".zip"),
)
MAX_CHECKED_FILES = 8
"""Tables whose first rows are checked before a run."""
MAX_NAMED = 3
"""The most files that a remark names."""


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


def read_dataset(fetch: PriceFetch) -> Iterator[DataFrame]:
    """Rows of a data set by name."""
    chosen = DATASETS[fetch.dataset or "indices"]
    if chosen.packaged:
        return read_packaged(chosen.packaged)
    return read_files(fetch, [download((), chosen.sha256, chosen.file)])


def read_own(fetch: PriceFetch) -> Iterator[DataFrame]:
    """Rows of the user's table, or of all tables in a folder; how each is written is found before its rows are read.

    Without a ticker column, the ticker is the file's name: AAPL.csv.
    """
    return read_files(fetch, _own_places(fetch))


def read_files(fetch: PriceFetch, places: Sequence[Path]) -> Iterator[DataFrame]:
    """As `read_own`, for files, or for one folder, whose fingerprints are not checked."""
    files = _price_files(places)
    notes: dict[str, list[str]] = {}
    formats: dict[Path, PriceFormat] = {}
    early: dict[Path, dict[str, tuple[pd.Timestamp, int]]] = {}
    for path, name in files.items():
        evidence = PriceEvidence()
        for block in _blocks(fetch, path, name, notes):
            evidence.add(block)
        usual: Decimal = "," if any(NAMES[";"] in text and name in names for text, names in notes.items()) else "."
        formats[path], sentences = evidence.format(
            path, dates=fetch.dates, decimal=DECIMALS[fetch.decimal], calendar=fetch.calendar, usual=usual
        )
        early[path] = evidence.days_without_range(formats[path].dates)
        sentences += [
            f"{count:,} days of {ticker} before {first:%Y-%m-%d} left out: their four prices are one, so no range is known"
            for ticker, (first, count) in early[path].items()
        ]
        for text in sentences:
            notes.setdefault(text, []).append(name)
    sentences = list(notes)

    def blocks() -> Iterator[DataFrame]:
        for path, name in files.items():
            for block in _blocks(fetch, path, name, notes):
                if early[path]:
                    first = block["ticker"].astype(str).map({ticker: day for ticker, (day, _) in early[path].items()})
                    block = block[~(read_dates(block["date"], formats[path].dates) < first)].reset_index(drop=True)
                if len(block):
                    yield block.assign(format=formats[path].to_json())

    return remarks.attach(blocks(), [f"{_names(notes[text], len(files))}: {text}" for text in sentences])


def check_head(fetch: PriceFetch) -> None:
    """Raise a `UserError` for a source without tables of prices, and for one whose first rows hold no date or no price."""
    for path, name in list(_price_files(_own_places(fetch)).items())[:MAX_CHECKED_FILES]:
        rows = next(_blocks(fetch, path, name, {}))
        evidence = PriceEvidence()
        evidence.add(rows)
        dates = evidence.dates.form() if fetch.dates == "auto" else fetch.dates
        filled = rows["date"][~is_missing(rows["date"])].astype(str)
        if dates and len(filled) and read_dates(rows["date"], dates).isna().all():
            raise UserError(
                f"{path}: no date is read in its date column, which begins with {filled.iloc[0][:40]!r}; expected dates such as "
                "2021-01-04 or 04.01.2021 (fetch.date names the column, fetch.dates how it is written)"
            )
        numbers = evidence.prices.format(DECIMALS[fetch.decimal])
        for column in PRICES:
            cells = rows[column][~is_missing(rows[column])].astype(str)
            if len(cells) and read_numbers(rows[column], numbers).isna().all():
                raise UserError(
                    f"{path}: the column of {column} holds no numbers but {cells.iloc[0][:40]!r}; "
                    f"name another in fetch.{column}, or set fetch.decimal"
                )


def _own_places(fetch: PriceFetch) -> list[Path]:
    if fetch.train or fetch.validation or fetch.test:
        raise UserError("prices are split by time: put all into one table or folder, and set clean.validation_from and test_from")
    return sources.verified_paths(fetch.path, fetch.expected_fingerprint("path"))


def _price_files(places: Sequence[Path]) -> dict[Path, str]:
    """The tables among these files, or in one folder, each with its name in the rows."""
    files = {place: place.name for place in places if place.is_file()}
    for folder in (place for place in places if place.is_dir()):
        tables = [path for path in sources.list_files(folder) if path.suffix.lower() in TABLE_SUFFIXES]
        tables = [path for path in tables if path.suffix.lower() != ".txt"] or tables  # notes beside tables
        files |= {path: path.relative_to(folder).as_posix() for path in tables}
    if not files:
        raise UserError(f"{places[0]} holds no table ({', '.join(TABLE_SUFFIXES)}); expected prices, one row a day")
    return files


def _blocks(fetch: PriceFetch, path: Path, name: str, notes: dict[str, list[str]]) -> Iterator[DataFrame]:
    """Blocks of raw rows of one file. Sentences on it are added to `said`, each with the files it is about."""
    columns = {column: getattr(fetch, column) for column in COLUMNS if column != "fear" or fetch.fear != "vix"}
    names = [column.strip() for column in fetch.columns.split(",") if column.strip()]
    detected: dict[str, str] = {}
    for block in table_files.read_table(path, file_name=name, names=names, separator=fetch.separator, encoding=fetch.encoding):
        for text in remarks.take(block):
            listed = notes.setdefault(text.removeprefix(f"{name}: "), [])
            listed += [name] * (name not in listed)
        block.attrs.clear()
        block = _without_rows_of_names(block)
        detected = detected or map_columns(path, [str(column) for column in block if column not in READER_COLUMNS], columns)
        rows = pd.DataFrame({column: block[detected[column]] for column in COLUMNS if column in detected})
        if "time" in detected and not pd.api.types.is_datetime64_any_dtype(rows["date"]):
            rows["date"] = rows["date"].astype(str).str.strip() + " " + block[detected["time"]].astype(str).str.strip()
        if "ticker" not in detected:
            rows["ticker"] = path.name.partition(".")[0]
        for column in ("volume", "fear"):
            rows[column] = rows[column] if column in detected else np.nan
        yield rows[list(COLUMNS)].join(block[[column for column in READER_COLUMNS if column in block]])


def _without_rows_of_names(block: DataFrame) -> DataFrame:
    """The rows of a file with names on three lines, as yfinance writes it: of prices, of the ticker, and of the date."""
    heads = [name for name in block.columns if name not in READER_COLUMNS]
    first = block[heads[0]].head(2).tolist() if heads else []
    if not heads or heads[0] != "Price" or first != ["Ticker", "Date"] or block["row"].iloc[0] != 2:
        return block
    ticker = block[heads[1]].iloc[0]
    return block.iloc[2:].reset_index(drop=True).rename(columns={"Price": "Date"}).assign(Ticker=ticker)


def _names(names: Sequence[str], files: int) -> str:
    if len(names) == files > 1:
        return f"all {files} files"
    return ", ".join(names[:MAX_NAMED]) + f" and {len(names) - MAX_NAMED} more" * (len(names) > MAX_NAMED)


def join_vix(blocks: Iterator[DataFrame]) -> Iterator[DataFrame]:
    """The rows with `fear`, the VIX at each day's close."""
    path = download((), VIX_DATASET.sha256, VIX_DATASET.file)
    index = pd.concat(list(table_files.read_table(path, ["DATE", "CLOSE"])))
    closes = pd.Series(read_numbers(index["CLOSE"]).to_numpy(), index=read_dates(index["DATE"]).dt.normalize())
    level = closes.dropna().sort_index()
    for block in blocks:
        yield block.assign(fear=level_at_close(level, bar_dates(block).dt.normalize()))


def level_at_close(level: Series, date: Series) -> Series:
    """The index on each date, or the last value before it; NaN where that is more than `MAX_VIX_AGE_DAYS` old."""
    position = level.index.searchsorted(date, side="right") - 1
    quoted = level.index[np.maximum(position, 0)]
    fresh = (position >= 0) & ((date - quoted.to_numpy()).dt.days <= MAX_VIX_AGE_DAYS).to_numpy()
    return pd.Series(np.where(fresh, level.to_numpy()[np.maximum(position, 0)], np.nan), index=date.index)
