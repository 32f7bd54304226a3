"""Hundreds of files that say the same in other separators, locales, encodings, packings, layouts and names have the same values.

Each file is made from one table whose values are known. What cannot be read is refused in one line; nothing else happens.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.use_cases.finance import price_formats
from tasks.use_cases.finance.use_case import Finance
from tests.support.price_bars import random_bars

pytestmark = pytest.mark.slow

ROWS = 40
SEPARATORS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "gb18030")
Grouped = tuple[str, str]
"""The sign of thousands and the decimal sign."""
LOCALES: dict[str, Grouped] = {
    "plain": ("", "."),
    "english": (",", "."),
    "german": (".", ","),
    "french": ("\u202f", ","),
    "swiss": ("'", "."),
    "comma": ("", ","),
    "blanks": (" ", "."),
}


def written(number: float, locale: str, places: int) -> str:
    thousands, decimal = LOCALES[locale]
    return f"{number:,.{places}f}".translate(str.maketrans({",": thousands, ".": decimal}))


def text_of(table: pd.DataFrame, separator: str, ends: str = "\n", quotes: str = "some") -> str:
    """A table as text; `quotes`: around cells that need them, or around all."""

    def cell(value: str) -> str:
        needed = quotes == "all" or any(mark in value for mark in (separator, '"', "\n"))
        return '"' + value.replace('"', '""') + '"' if needed else value

    lines = [table.columns.tolist(), *table.astype(str).to_numpy().tolist()]
    return "".join(separator.join(map(cell, line)) + ends for line in lines)


class Tally:
    """Counts files, and collects those that were read with other values or raised something else than a `UserError`."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []

    def check(self, name: str, read: Callable[[], bool], *, refused: str = "") -> None:
        """`read` says whether the values are right; with `refused` it must be a `UserError` with these words."""
        try:
            outcome = "right" if read() and not refused else "silent"
        except UserError as error:
            outcome = "refused" if refused and refused in str(error) and "\n" not in str(error) else f"refused: {error}"
        except Exception as error:
            outcome = f"traceback: {type(error).__name__}: {error}"
        self.outcomes[outcome.partition(":")[0]] += 1
        if outcome not in ("right", "refused"):
            self.wrong.append(f"{name}: {outcome}"[:300])


BARS = random_bars(ROWS)
PRICES = {name: np.round(BARS[name].to_numpy() * 12, 2) for name in ("open", "high", "low", "close")}
VOLUME = BARS["volume"].to_numpy() * 100
DAYS = pd.DatetimeIndex(BARS["date"])
DATES: dict[str, Callable[[pd.Timestamp], str]] = {
    **{
        pattern: methodcaller("strftime", pattern)
        for pattern in (
            *(
                "%Y-%m-%d",
                "%Y/%m/%d",
                "%Y%m%d",
                "%d/%m/%Y",
                "%m/%d/%Y",
                "%d.%m.%Y",
                "%d-%m-%y",
                "%m-%d-%Y",
                "%d %b %Y",
                "%b %d, %Y",
            ),
            *(
                "%B %d, %Y",
                "%d-%b-%y",
                "%a, %d %b %Y",
                "%Y-%m-%dT00:00:00Z",
                "%Y-%m-%d 00:00:00+09:00",
                "%Y-%m-%d 00:00:00-05:00",
            ),
            *("%Y-%m-%d 16:00:00 EST", "%d/%m/%Y 17:30", "%m/%d/%Y 4:00 PM", "%Y年%m月%d日"),
        )
    },
    "seconds": lambda day: str(day.value // 10**9),
    "milliseconds": lambda day: str(day.value // 10**6),
    "excel": lambda day: str((day - pd.Timestamp("1899-12-30")).days),
}


def price_table(dates: str, locale: str, currency: str = "") -> pd.DataFrame:
    cells = {"Date": [DATES[dates](day) for day in DAYS]}
    cells |= {name.capitalize(): [currency + written(price, locale, 2) for price in PRICES[name]] for name in PRICES}
    return pd.DataFrame({**cells, "Volume": [written(volume, locale, 0) for volume in VOLUME]})


def right_prices(path: Path, **fetch: Any) -> bool:
    rows = pd.concat(list(Finance(fetch={"path": str(path), **fetch}).load()), ignore_index=True)
    same = all(
        np.allclose(price_formats.bar_numbers(rows, name), values) for name, values in {**PRICES, "volume": VOLUME}.items()
    )
    weekdays = not price_formats.trades_on_weekends(rows).any()
    return same and weekdays and list(price_formats.bar_dates(rows)) == list(DAYS)


def price_files() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """(name, content, settings) of files with the same bars."""
    for place, (dates, locale) in enumerate(product(DATES, LOCALES)):
        for separator in SEPARATORS if dates in ("%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y") else SEPARATORS[place % 4 :][:1]:
            content = text_of(price_table(dates, locale), separator)
            yield f"{dates} {locale} {separator!r}.csv", content.encode(), {}
    for currency, locale in product(("$", "€", "£ ", "US$", "EUR "), LOCALES):
        yield f"{currency} {locale}.csv", text_of(price_table("%Y-%m-%d", locale, currency), ";").encode(), {}
    for encoding, ends, quotes in product(ENCODINGS, ("\n", "\r\n", "\r"), ("some", "all")):
        content = text_of(price_table("%d.%m.%Y", "german", "€"), ";", ends, quotes)
        known = encoding in ("utf-8", "utf-8-sig", "utf-16")
        yield f"{encoding} {ends!r} {quotes}.csv", content.encode(encoding), {} if known else {"encoding": encoding}
    for separator, before in product(SEPARATORS, ("sep={}\n", "https://www.example.org\n", "\n\n", "Prices of one\nfrom 2017\n")):
        content = before.format(separator) + text_of(price_table("%Y-%m-%d", "plain"), separator)
        yield f"{before!r} {separator!r}.csv", content.encode(), {}
    for separator, locale in product(SEPARATORS, ("plain", "german", "english")):
        content = text_of(price_table("%Y-%m-%d", locale), separator).partition("\n")[2]
        yield f"no header {separator!r} {locale}.txt", content.encode(), {"columns": "date,open,high,low,close,volume"}
    for names in (
        "date open high low close volume",
        "日期 开盘 最高 最低 收盘 成交量",
        "Datum Eröffnung Hoch Tief Schluss Volumen",
    ):
        for separator in SEPARATORS:
            table = price_table("%Y-%m-%d", "comma").set_axis(names.split(), axis=1)
            table.insert(0, "", [str(place) for place in range(ROWS)])
            yield f"{names} {separator!r}.csv", text_of(table, separator).encode(), {}


AGES = [20 + 7 * place % 50 for place in range(ROWS)]
INCOMES = [round(731.25 + 977.5 * (place * 17 % ROWS), 2) for place in range(ROWS)]
DEBTS = [float(-250 * (place % 4) + 125_000 * (place % 3)) for place in range(ROWS)]
NAMES = ["no", "yes", "no", "no"]
LABELS = [NAMES[place % 4] for place in range(ROWS)]


def people_table(locale: str, negative: str, missing: str, unit: str) -> pd.DataFrame:
    """People whose income is missing in each tenth row, whose rate has a unit, and some of whose debts are negative."""
    incomes = [missing if place % 10 == 9 else written(income, locale, 2) for place, income in enumerate(INCOMES)]
    debts = [negative.format(written(-debt, locale, 0)) if debt < 0 else written(debt, locale, 0) for debt in DEBTS]
    rates = [unit.format(written(place / 8, locale, 3)) for place in range(ROWS)]
    return pd.DataFrame({"age": map(str, AGES), "income": incomes, "debt": debts, "rate": rates, "default": LABELS})


def right_people(path: Path, **fetch: Any) -> bool:
    case = registry.build("use_cases", "credit", {"fetch": {"path": str(path), **fetch}})
    rows = case.clean_partition(pd.concat(list(case.load()), ignore_index=True))
    incomes = [np.nan if place % 10 == 9 else income for place, income in enumerate(INCOMES)]
    expected = {"age": AGES, "income": incomes, "debt": DEBTS, "rate": [place / 8 for place in range(ROWS)]}
    kept = (rows["fault"] == "").all() and rows["label"].tolist() == LABELS
    return kept and all(name in rows and np.allclose(rows[name], values, equal_nan=True) for name, values in expected.items())


def people_files() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    negatives, units = ("-{}", "({})", "{}-", "\u2212{}"), ("{}", "{}%", "{} %", "${}", "{} €")
    for separator, locale, negative in product(SEPARATORS, LOCALES, negatives):
        content = text_of(people_table(locale, negative, "", "{}"), separator)
        yield f"{separator!r} {locale} {negative}.csv", content.encode(), {}
    for missing, locale in product(("NA", "#N/A", "null", "n/a", "-", "?", "NaN", "\u00a0"), LOCALES):
        yield f"{missing!r} {locale}.csv", text_of(people_table(locale, "-{}", missing, "{}"), ";").encode(), {}
    for unit, locale in product(units, LOCALES):
        yield f"{unit} {locale}.csv", text_of(people_table(locale, "-{}", "", unit), "\t").encode(), {}
    plain = people_table("german", "({})", "#N/A", "{} %")
    for place in ("front", "end"):
        table = plain.copy()
        table.insert(0 if place == "front" else len(table.columns), "", [str(1000 + row) for row in range(ROWS)])
        for separator in SEPARATORS:
            yield f"unnamed {place} {separator!r}.csv", text_of(table, separator).encode(), {}
    lines = "".join(json.dumps(dict(zip(plain, row, strict=True))) + "\n" for row in plain.to_numpy().tolist())
    yield "people.jsonl", lines.encode(), {}
    yield "people.csv.gz", gzip.compress(text_of(plain, ";").encode(), mtime=0), {}


def packed(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.writestr("inside.csv", content)
    return path.with_suffix(".zip")


@pytest.fixture
def tally() -> Tally:
    return Tally()


def run(tmp_path: Path, tally: Tally, files: Iterator[tuple[str, bytes, dict[str, Any]]], right: Callable[..., bool]) -> None:
    for number, (name, content, settings) in enumerate(files):
        path = tmp_path / f"file{number}{name[name.rindex('.', 0, -3) if name.endswith('.gz') else name.rindex('.') :]}"
        path.write_bytes(content)
        path = packed(path, content) if number % 25 == 24 and path.suffix == ".csv" else path
        tally.check(name, partial(right, path, **settings))


def test_prices_have_their_values_in_every_neighbour(tmp_path: Path, tally: Tally) -> None:
    run(tmp_path, tally, price_files(), right_prices)
    assert tally.wrong == []
    assert tally.outcomes["right"] >= 300


def test_tables_have_their_values_in_every_neighbour(tmp_path: Path, tally: Tally) -> None:
    run(tmp_path, tally, people_files(), right_people)
    assert tally.wrong == []
    assert tally.outcomes["right"] >= 200


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, tally: Tally) -> None:
    whole = text_of(price_table("%Y-%m-%d", "plain"), ",")
    bad: dict[str, tuple[bytes, str]] = {
        "encoding.csv": (text_of(price_table("%Y-%m-%d", "plain", "€"), ",").encode("cp1252"), "fetch.encoding"),
        "fields.csv": (whole.replace("\n", ",9\n", 5).encode()[:-2], "fields"),
        "twice.csv": (whole.replace("Open", "Close").encode(), "two columns"),
        "alike.csv": (whole.replace("Open", "close").encode(), "may both be the close"),
        "header.csv": (whole.partition("\n")[2].encode(), "fetch.columns"),
        "either.csv": (text_of(price_table("%Y-%m-%d", "plain").assign(Date="01/02/2021"), ",").encode(), "fetch.dates"),
        "empty.csv": (b"", "is empty"),
        "binary.csv": (whole.encode().replace(b"2017", b"20\x0017"), "is zero"),
        "repeated.jsonl": (b'{"Date": "2021-01-04", "Date": "2021-01-05"}\n', "twice"),
        "cut.csv.gz": (gzip.compress(whole.encode())[:-20], "cut short"),
        "cut.parquet": (b"PAR1 no parquet", "no whole parquet file"),
        "cut.xlsx": (b"PK no sheet", "save the sheet as CSV"),
        "cut.npz": (b"PK no arrays", "no whole npz file"),
        "cut.zip": (b"PK no archive", "damaged"),
    }
    for name, (content, words) in bad.items():
        (tmp_path / name).write_bytes(content)
        tally.check(name, partial(right_prices, tmp_path / name), refused=words)
    assert tally.wrong == []
