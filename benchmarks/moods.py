"""Does it help to know what was written? 88 shares and their tweets, judged by a model of film reviews, with and without."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from benchmarks import record
from benchmarks.scene import scene
from benchmarks.walk_forward import known_days
from tasks.core.settings import Training
from tasks.training import trainer
from tasks.use_cases.finance.settings import Model, PriceFetch
from tasks.use_cases.finance.use_case import Finance

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

TWEETS = "finance/stocknet_tweets.parquet"
FIRST, LAST_TRAIN, BEGIN, END = (pd.Timestamp(day) for day in ("2014-01-02", "2015-06-25", "2015-07-01", "2016-01-01"))
"""Tweets are there for 2014 and 2015: fitted to the first year and a half, asked about the rest."""
SEEDS = (7, 8, 9)
TRAINING = Training(epochs=8, batch_size=256, learning_rate=0.01, weight_decay=0.001, precision="fp32")
RECIPES = ("dense", "distilled")
JUDGE = {"fetch.dataset": "movie_reviews", "contract.max_drop": 0.05, "contract.max_size_share": 1.0}
"""The judge of moods: its contract asks for little, since here it is not what is measured."""


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with prices, tweets and film reviews")
        return
    torch.set_num_threads(1)
    tweets = Path(os.environ["BONSAI_DATASETS"]) / TWEETS
    with scene("nlp", JUDGE, RECIPES) as place:
        for stage in ("fetch", "clean", "augment", "train"):
            place.play(stage, "nlp")
        for recipe in RECIPES:
            place.play("compress", "nlp", recipe)
            place.play("evaluate", "nlp", recipe)
        place.play("release", "nlp")
        release = place.root / "data" / "nlp" / "release"
        write(tweets, release if (release / "model.onnx").exists() else place.root / "data/nlp/compressed/dense/model.onnx")


def write(tweets: Path, scorer: Path) -> None:
    """The table of forecasters that know what was written, beside the same that do not."""
    fetch = PriceFetch(dataset="stocknet", news=str(tweets), scorer=str(scorer))
    case = Finance(fetch=fetch, model=Model(architecture="har_mlp"), training=TRAINING)
    days = known_days(case)
    days = days[(days["next_date"] >= FIRST) & (days["next_date"] < END)]
    train = days[days["next_date"] <= LAST_TRAIN].reset_index(drop=True)
    rows = days[days["next_date"] >= BEGIN].reset_index(drop=True)
    found = {"HAR-MLP": forecast(case, train, rows, news=False), "HAR-MLP with news": forecast(case, train, rows, news=True)}
    classics = case.baselines(train, rows)
    found |= {name: classics[name] for name in ("log-HAR with leverage", "log-HAR with leverage and news")}
    lines = []
    for name, predictions in found.items():
        scores = case.metrics(predictions)
        said: dict[str, Any] = {
            "model": name,
            **{key: round(scores[key], 4) for key in ("qlike", "mse", "pinball_5", "pinball_1")},
        }
        said |= dict.fromkeys(("gain", "low", "high", "DM p", "news helps"))
        plain = name.removesuffix(" with news").removesuffix(" and news")
        if plain != name:
            gain = case.compare_to_baseline(predictions, found[plain])
            said |= {"gain": round(gain["value"], 4), "low": round(gain["low"], 4), "high": round(gain["high"], 4)}
            helps = "yes" if gain["low"] > 0 else "not shown" if gain["high"] > 0 else "no"
            said |= {"DM p": round(gain["p"], 4), "news helps": helps}
        lines.append(said)
    told = [np.asarray(past, np.float32).reshape(case.clean.history_days, -1)[-1] for past in rows["past"]]
    heard = float(np.mean([day[-1] > 0 for day in told]))
    record.write(
        "moods",
        f"Next-day variance of {rows['ticker'].nunique()} shares, {rows['next_date'].nunique()} days from {BEGIN:%Y-%m} on; "
        f"tweets were known on {heard:.0%} of rows. Gain: QLIKE less with news than without, positive is better.",
        lines,
        seeds=list(SEEDS),
    )


def forecast(case: Finance, train: DataFrame, rows: DataFrame, *, news: bool) -> DataFrame:
    """The mean log variance and quantiles of networks of several seeds."""
    given = [some if news else silent(some) for some in (train, rows)]
    state = case.fit_preprocessing(given[0])
    assert state["news"] == news
    inputs, targets = case.encode(given[0], state)
    asked, _ = case.encode(given[1], state)
    outputs: list[Array] = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        fitted = trainer.fit(
            case.build_model(state),
            inputs,
            targets,
            objective=lambda network, x, y: case.loss(network(x), y),
            training=replace(case.training, seed=seed),
        )
        outputs.append(trainer.predict(fitted.network, asked))
    return case.decode(rows, np.mean(np.stack(outputs).astype(np.float64), axis=0), state)


def silent(rows: DataFrame) -> DataFrame:
    """The rows as if nothing had been written."""
    from tasks.use_cases.finance import ohlc_bars

    def without(past: Any) -> Any:
        bars = np.array(past, np.float32).reshape(-1, len(ohlc_bars.BAR_FIELDS))
        bars[:, [ohlc_bars.SENTIMENT, ohlc_bars.NEWS_VOLUME]] = np.nan
        return bars.ravel()

    return rows.assign(past=pd.Series([without(past) for past in rows["past"]], index=rows.index, dtype=object))
