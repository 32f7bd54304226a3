"""What was written of a share before a day's close, and in what mood: texts judged by a released model of texts.

A table of texts has a column for the series, one for the time and one for the text. A text counts on the day by whose
close it was there: one with a time after `LAST_HOUR_UTC` (UTC) from the next day on, one with a date alone always so.
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
from tasks.use_cases.finance import ohlc_bars

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

COLUMN_ALIASES = {
    "ticker": ("ticker", "symbol", "stock", "instrument"),
    "time": ("created_at", "published_at", "timestamp", "datetime", "time", "date", "day"),
    "text": ("text", "tweet", "title", "headline", "content", "body"),
}
"""What the columns are usually called, in whatever case; of several the first."""
SENTIMENT_CLASSES = ("negative", "positive")
LAST_HOUR_UTC = 20
"""UTC: the stock exchanges of New York close at 20:00 in summer and at 21:00 in winter."""
LOOKBACK_DAYS = 3
"""Calendar days whose texts are counted: on a Monday those of the weekend too."""


def join_sentiment(blocks: Iterator[DataFrame], texts: Path, scorer: Path) -> Iterator[DataFrame]:
    """Price rows with `mood`, the mean of the last days' texts (-1 bad, 1 good, 0 without any), and `buzz`, log(1 + number)."""
    known = sentiment_by_day(read_texts(texts), scorer)
    for block in blocks:
        yield sentiment_at_close(block, known)


def read_texts(path: Path) -> DataFrame:
    """The texts of a table: `ticker`, `day` (the first at whose close the text was known) and `text`."""
    blocks: list[DataFrame] = []
    name: dict[str, str] = {}
    for block in table_files.read_table(path):
        name = name or map_columns(path, [str(column) for column in block if column not in ("file", "row", "doubt")])
        blocks.append(block[[*name.values(), "file", "row"]].rename(columns={given: ours for ours, given in name.items()}))
    found = pd.concat(blocks, ignore_index=True)
    time = pd.to_datetime(found["time"], format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    if time.isna().any():
        first = found[time.isna()].iloc[0]
        raise UserError(
            f"{path}, row {first['row']}: {name['time']} is {str(first['time'])[:40]!r}; expected YYYY-MM-DD, or with a time"
        )
    dated = (time == time.dt.normalize()).all()
    wait = pd.Timedelta(hours=24 if dated else 24 - LAST_HOUR_UTC)
    day = (time + wait).dt.normalize().astype("datetime64[ns]")
    return pd.DataFrame({"ticker": found["ticker"].astype(str), "day": day, "text": found["text"].fillna("").astype(str)})


def map_columns(path: Path, header: list[str]) -> dict[str, str]:
    """What each of our columns is called in this file; all that is missing is said at once."""
    usual = {name.strip().lower(): name for name in reversed(header)}
    found = {ours: next((usual[name] for name in names if name in usual), "") for ours, names in COLUMN_ALIASES.items()}
    if missing := [ours for ours, name in found.items() if not name]:
        raise UserError(
            f"{path} has no column for {', '.join(missing)}; it has {', '.join(header)[:200]}: "
            + "; ".join(f"call the {ours} one of {', '.join(COLUMN_ALIASES[ours])}" for ours in missing)
        )
    return found


def sentiment_by_day(texts: DataFrame, scorer: Path) -> dict[str, tuple[NDArray[np.datetime64], Floats, Floats]]:
    """Of each series its days with texts, in order, and the sum of moods and the number of texts up to each (T + 1,)."""
    once = texts["text"].drop_duplicates()
    mood = texts["text"].map(pd.Series(score_sentiment(once.to_list(), scorer), index=once.to_numpy()))
    sums = texts.assign(mood=mood).groupby(["ticker", "day"])["mood"].agg(["sum", "count"])
    found = {}
    for ticker, some in sums.groupby(level="ticker"):
        days = some.index.get_level_values("day").to_numpy("datetime64[ns]")
        total, count = (np.concatenate([[0.0], some[name].cumsum().to_numpy(np.float64)]) for name in ("sum", "count"))
        found[str(ticker)] = (days, total, count)
    return found


def score_sentiment(texts: list[str], scorer: Path) -> Floats:
    """How good or bad each text sounds, -1..1: the probability of `positive` less that of `negative` by the model."""
    from tasks.core import onnx_model

    path = scorer / "model.onnx" if scorer.is_dir() else scorer
    if not path.is_file():
        raise UserError(f"{scorer} holds no model.onnx; name the release folder of a use case of texts, as in data/nlp/release")
    content = path.read_bytes()
    state = onnx_model.read_metadata(onnx_model.from_bytes(content)).get("learnt", {})
    classes = list(state.get("classes", ()))
    if "vocabulary" not in state or not set(SENTIMENT_CLASSES) <= set(classes):
        raise UserError(
            f"{path} tells {', '.join(classes)[:200] or 'no classes of texts'} apart; "
            f"a judge of moods tells {' and '.join(SENTIMENT_CLASSES)}"
        )
    inputs = tokenization.encode([normalization.repair(one)[0] for one in texts], state["vocabulary"])
    odds = classification.softmax(onnx_model.predict(content, inputs))
    found: Floats = odds[:, classes.index("positive")] - odds[:, classes.index("negative")]
    return found


def sentiment_at_close(rows: DataFrame, known: dict[str, tuple[NDArray[np.datetime64], Floats, Floats]]) -> DataFrame:
    """The rows with `mood` and `buzz` of the texts of the last `LOOKBACK_DAYS` calendar days, known at each row's close."""
    date, ticker = ohlc_bars.parse_dates(rows["date"]), rows["ticker"].astype(str).str.strip()
    total, count = np.zeros(len(rows)), np.zeros(len(rows))
    for name in ticker.unique():
        if name not in known:
            continue
        days, sums, counts = known[name]
        places = np.flatnonzero(((ticker == name) & date.notna()).to_numpy())
        asked = date.iloc[places].to_numpy("datetime64[ns]")
        until = days.searchsorted(asked, side="right")
        since = days.searchsorted(asked - np.timedelta64(LOOKBACK_DAYS, "D"), side="right")
        total[places], count[places] = sums[until] - sums[since], counts[until] - counts[since]
    return rows.assign(mood=total / np.maximum(count, 1.0), buzz=np.log1p(count))


def without_news(blocks: Iterator[DataFrame]) -> Iterator[DataFrame]:
    """Price rows of which nothing written is known."""
    for block in blocks:
        yield block.assign(mood=np.nan, buzz=np.nan)
