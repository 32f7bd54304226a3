"""News sentiment: texts about a series before each day's close, scored by a released text model.

A table of texts has a column for the series, one for the time and one for the text. A text counts from the first day whose
close comes after it: from the next day on for a time after `LAST_HOUR_UTC`, and for a date without a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.core.errors import UserError
from tasks.data import table_files
from tasks.metrics import classification
from tasks.text import normalization, tokenization
from tasks.use_cases.finance import price_formats

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

COLUMN_ALIASES = {
    "ticker": ("ticker", "symbol", "stock", "instrument"),
    "time": ("created_at", "published_at", "timestamp", "datetime", "time", "date", "day"),
    "text": ("text", "tweet", "title", "headline", "content", "body"),
}
"""Names of each column in users' files, in any case; the first one present is used."""
SENTIMENT_CLASSES = ("negative", "positive")
LAST_HOUR_UTC = 20
"""UTC: the stock exchanges of New York close at 20:00 in summer and at 21:00 in winter."""
LOOKBACK_DAYS = 3
"""Calendar days whose texts count: on a Monday those of the weekend too."""


def join_sentiment(blocks: Iterator[DataFrame], texts: Path, scorer: Path) -> Iterator[DataFrame]:
    """Price rows with `mood`, the last days' mean sentiment (-1 to 1, 0 without texts), and `buzz`, log(1 + number of texts)."""
    sentiments = sentiment_by_day(read_texts(texts), scorer)
    for block in blocks:
        yield sentiment_at_close(block, sentiments)


def read_texts(path: Path) -> DataFrame:
    """The texts of a table: `ticker`, `day` (the first day on which the text counts) and `text`."""
    blocks: list[DataFrame] = []
    columns: dict[str, str] = {}
    for block in table_files.read_table(path):
        columns = columns or map_columns(path, [str(column) for column in block if column not in ("file", "row", "doubt")])
        blocks.append(block[[*columns.values(), "file", "row"]].rename(columns={name: field for field, name in columns.items()}))
    texts = pd.concat(blocks, ignore_index=True)
    time = pd.to_datetime(texts["time"], format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    if time.isna().any():
        first = texts[time.isna()].iloc[0]
        raise UserError(
            f"{path}, row {first['row']}: {columns['time']} is {str(first['time'])[:40]!r}; expected YYYY-MM-DD, or with a time"
        )
    dated = (time == time.dt.normalize()).all()
    delay = pd.Timedelta(hours=24 if dated else 24 - LAST_HOUR_UTC)
    day = (time + delay).dt.normalize().astype("datetime64[ns]")
    return pd.DataFrame({"ticker": texts["ticker"].astype(str), "day": day, "text": texts["text"].fillna("").astype(str)})


def map_columns(path: Path, header: list[str]) -> dict[str, str]:
    """The name in the file of each column. Raises `UserError` with all missing columns."""
    by_alias = {name.strip().lower(): name for name in reversed(header)}
    columns = {field: next((by_alias[name] for name in names if name in by_alias), "") for field, names in COLUMN_ALIASES.items()}
    if missing := [field for field, name in columns.items() if not name]:
        raise UserError(
            f"{path} has no column for {', '.join(missing)}; it has {', '.join(header)[:200]}: "
            + "; ".join(f"name the {field} column one of {', '.join(COLUMN_ALIASES[field])}" for field in missing)
        )
    return columns


def sentiment_by_day(texts: DataFrame, scorer: Path) -> dict[str, tuple[NDArray[np.datetime64], Floats, Floats]]:
    """For each series its days with texts, ascending, and the cumulative sentiment and number of texts, (T + 1,)."""
    distinct = texts["text"].drop_duplicates()
    sentiment = texts["text"].map(pd.Series(score_sentiment(distinct.to_list(), scorer), index=distinct.to_numpy()))
    sums = texts.assign(sentiment=sentiment).groupby(["ticker", "day"])["sentiment"].agg(["sum", "count"])
    by_ticker = {}
    for ticker, ticker_sums in sums.groupby(level="ticker"):
        days = ticker_sums.index.get_level_values("day").to_numpy("datetime64[ns]")
        total, number = (np.concatenate([[0.0], ticker_sums[name].cumsum().to_numpy(np.float64)]) for name in ("sum", "count"))
        by_ticker[str(ticker)] = (days, total, number)
    return by_ticker


def score_sentiment(texts: list[str], scorer: Path) -> Floats:
    """The sentiment of each text, -1 to 1: the model's probability of `positive` less that of `negative`."""
    from tasks.core import onnx_model

    path = scorer / "model.onnx" if scorer.is_dir() else scorer
    if not path.is_file():
        raise UserError(f"{scorer} holds no model.onnx; name the release folder of a text use case, as in data/nlp/release")
    content = path.read_bytes()
    state = onnx_model.read_metadata(onnx_model.from_bytes(content)).get("learnt", {})
    classes = list(state.get("classes", ()))
    if "vocabulary" not in state or not set(SENTIMENT_CLASSES) <= set(classes):
        raise UserError(
            f"{path} has the classes {', '.join(classes)[:200] or 'of no text model'}; "
            f"a sentiment model needs {' and '.join(SENTIMENT_CLASSES)}"
        )
    inputs = tokenization.encode([normalization.repair(text)[0] for text in texts], state["vocabulary"])
    probabilities = classification.softmax(onnx_model.predict(content, inputs))
    sentiment: Floats = probabilities[:, classes.index("positive")] - probabilities[:, classes.index("negative")]
    return sentiment


def sentiment_at_close(rows: DataFrame, sentiments: dict[str, tuple[NDArray[np.datetime64], Floats, Floats]]) -> DataFrame:
    """The rows with `mood` and `buzz` of the texts of the last `LOOKBACK_DAYS` calendar days before each row's close."""
    date, ticker = price_formats.bar_dates(rows).dt.normalize(), rows["ticker"].astype(str).str.strip()
    total, count = np.zeros(len(rows)), np.zeros(len(rows))
    for name in ticker.unique():
        if name not in sentiments:
            continue
        days, sums, counts = sentiments[name]
        positions = np.flatnonzero(((ticker == name) & date.notna()).to_numpy())
        closes = date.iloc[positions].to_numpy("datetime64[ns]")
        until = days.searchsorted(closes, side="right")
        since = days.searchsorted(closes - np.timedelta64(LOOKBACK_DAYS, "D"), side="right")
        total[positions], count[positions] = sums[until] - sums[since], counts[until] - counts[since]
    return rows.assign(mood=total / np.maximum(count, 1.0), buzz=np.log1p(count))


def without_news(blocks: Iterator[DataFrame]) -> Iterator[DataFrame]:
    """Price rows with unknown (NaN) `mood` and `buzz`."""
    for block in blocks:
        yield block.assign(mood=np.nan, buzz=np.nan)
