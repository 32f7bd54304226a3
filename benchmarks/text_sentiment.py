"""Does sentiment help volatility forecasts? 88 shares with tweets scored by a model of film reviews, and without them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from benchmarks.walk_forward import days_with_targets
from tasks.core.settings import Training
from tasks.training import trainer
from tasks.use_cases.finance.settings import PriceFetch, PriceModel
from tasks.use_cases.finance.use_case import Finance

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

TWEETS = "finance/stocknet_tweets.parquet"
FIRST_DAY, LAST_TRAIN_DAY = pd.Timestamp("2014-01-02"), pd.Timestamp("2015-06-25")
FIRST_TEST_DAY, END_DAY = pd.Timestamp("2015-07-01"), pd.Timestamp("2016-01-01")
"""Tweets exist for 2014 and 2015: the first year and a half are train rows, the rest test rows."""
SEEDS = (7, 8, 9)
TRAINING = Training(epochs=8, batch_size=256, learning_rate=0.01, weight_decay=0.001, precision="fp32")
RECIPES = ("dense", "distilled")
SENTIMENT_SETTINGS = {"fetch.dataset": "movie_reviews", "contract.max_drop": 0.05, "contract.max_size_share": 1.0}
"""Settings of the sentiment model. Its contract is lenient, since its compression is not measured here."""


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with prices, tweets and film reviews")
        return
    torch.set_num_threads(1)
    tweets = Path(os.environ["BONSAI_DATASETS"]) / TWEETS
    with temporary_workspace("nlp", SENTIMENT_SETTINGS, RECIPES) as workspace:
        for stage in ("fetch", "clean", "augment", "train", "baselines"):
            workspace.run_stage(stage, "nlp")
        for recipe in RECIPES:
            workspace.run_stage("compress", "nlp", recipe)
            workspace.run_stage("evaluate", "nlp", recipe)
        workspace.run_stage("latency", "nlp")
        workspace.run_stage("release", "nlp")
        release = workspace.root / "data" / "nlp" / "release"
        dense = workspace.root / "data/nlp/compressed/dense/model.onnx"
        write_results(tweets, release if (release / "model.onnx").exists() else dense)


def write_results(tweets: Path, scorer: Path) -> None:
    """Write the table of forecasters with news, each beside the same forecaster without."""
    fetch = PriceFetch(dataset="stocknet", news=str(tweets), scorer=str(scorer))
    case = Finance(fetch=fetch, model=PriceModel(architecture="har_mlp"), training=TRAINING)
    days = days_with_targets(case)
    days = days[(days["next_date"] >= FIRST_DAY) & (days["next_date"] < END_DAY)]
    train = days[days["next_date"] <= LAST_TRAIN_DAY].reset_index(drop=True)
    rows = days[days["next_date"] >= FIRST_TEST_DAY].reset_index(drop=True)
    by_model = {"HAR-MLP": forecast(case, train, rows, news=False), "HAR-MLP with news": forecast(case, train, rows, news=True)}
    classics = case.baselines(train, rows)
    by_model |= {name: classics[name] for name in ("log-HAR with leverage", "log-HAR with leverage and news")}
    lines = []
    for name, predictions in by_model.items():
        scores = case.problem.metrics(predictions)
        line: dict[str, Any] = {
            "model": name,
            **{key: round(scores[key], 4) for key in ("qlike", "mse", "pinball_5", "pinball_1")},
        }
        line |= dict.fromkeys(("gain", "low", "high", "DM p", "news helps"))
        without_news = name.removesuffix(" with news").removesuffix(" and news")
        if without_news != name:
            gain = case.problem.compare_to_baseline(predictions, by_model[without_news])
            line |= {"gain": round(gain["value"], 4), "low": round(gain["low"], 4), "high": round(gain["high"], 4)}
            helps = "yes" if gain["low"] > 0 else "not shown" if gain["high"] > 0 else "no"
            line |= {"DM p": round(gain["p"], 4), "news helps": helps}
        lines.append(line)
    last_days = [np.asarray(past, np.float32).reshape(case.clean.history_days, -1)[-1] for past in rows["past"]]
    share_with_tweets = float(np.mean([day[-1] > 0 for day in last_days]))
    record.write(
        "text_sentiment",
        f"Next-day variance of {rows['ticker'].nunique()} shares, {rows['next_date'].nunique()} days "
        f"from {FIRST_TEST_DAY:%Y-%m} on; "
        f"tweets were known on {share_with_tweets:.0%} of rows. Gain: QLIKE less with news than without, positive is better.",
        lines,
        seeds=list(SEEDS),
    )


def forecast(case: Finance, train: DataFrame, rows: DataFrame, *, news: bool) -> DataFrame:
    """Predictions from the mean outputs of networks with several seeds."""
    partitions = [some if news else without_texts(some) for some in (train, rows)]
    state = case.fit_preprocessing(partitions[0])
    assert state["news"] == news
    inputs, targets = case.encode(partitions[0], state)
    test_inputs, _ = case.encode(partitions[1], state)
    outputs: list[Array] = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        fitted = trainer.fit(
            case.build_model(state),
            inputs,
            targets,
            objective=lambda network, x, y: case.problem.loss(network(x), y, case.training),
            training=replace(case.training, seed=seed),
        )
        outputs.append(trainer.predict(fitted.network, test_inputs))
    return case.problem.decode(rows, np.mean(np.stack(outputs).astype(np.float64), axis=0), state)


def without_texts(rows: DataFrame) -> DataFrame:
    """The rows with sentiment and news volume set to NaN."""
    from tasks.use_cases.finance import ohlc_bars

    def erase_texts(past: Any) -> Any:
        bars = np.array(past, np.float32).reshape(-1, len(ohlc_bars.BAR_FIELDS))
        bars[:, [ohlc_bars.SENTIMENT, ohlc_bars.NEWS_VOLUME]] = np.nan
        return bars.ravel()

    return rows.assign(past=pd.Series([erase_texts(past) for past in rows["past"]], index=rows.index, dtype=object))
