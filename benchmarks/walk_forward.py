"""Tomorrow's variance of the S&P 500, out of sample 2010 to 2018, all fitted anew each year to all days before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from benchmarks import record
from tasks import fit, risk
from tasks.contracts import Training
from tasks.use_cases.finance import QUANTILES, Finance

if TYPE_CHECKING:
    from pandas import DataFrame

YEARS = range(2010, 2019)
ASKED = "sp500"
EMBARGO = pd.Timedelta(days=5)
SEED = 7
TRAINING = Training(epochs=30, batch_size=256, learning_rate=0.01, weight_decay=0.001, precision="fp32", seed=SEED)
NETWORKS: dict[str, tuple[dict[str, Any], Training]] = {
    "HAR-MLP": ({"architecture": "har_mlp"}, TRAINING),
    "LSTM": ({"architecture": "series_lstm"}, replace(TRAINING, epochs=15, learning_rate=0.004, clip_norm=1.0)),
    "temporal convolution": ({"architecture": "tcn"}, replace(TRAINING, epochs=10, learning_rate=0.004, clip_norm=1.0)),
    "Transformer": ({"architecture": "series_transformer"}, replace(TRAINING, epochs=10, learning_rate=0.003, clip_norm=1.0)),
}
"""What each network is fitted with: chosen on 2004 to 2009, walked forward alike."""


def main() -> None:
    """Every network and every classic on the same days, without the VIX and with it."""
    torch.set_num_threads(1)
    rows = []
    for fear in ("", "vix"):
        case = Finance(fetch={"fear": fear})  # type: ignore[arg-type]
        days = known_days(case)
        found = dict(classics(case, days))
        best = min(found, key=lambda name: case.score(found[name][0])["qlike"])
        for name, (model, training) in NETWORKS.items():
            found[name] = walked(days, network(replace(case, model=model), training))
        rows += [row(case, fear, name, *answer, found[best][0]) for name, answer in found.items()]
    count = len(found[best][0])
    sentence = (
        f"QLIKE (less is better) of the next day's Garman-Klass variance of the S&P 500, {count:,} days of "
        f"{YEARS[0]} to {YEARS[-1]}, expanding window, refitted yearly. "
        "DM: Diebold-Mariano against the best classic of the same information."
    )
    record.write("walk_forward", sentence, rows, seed=SEED)


def known_days(case: Finance) -> DataFrame:
    """All clean days that know their past and their next day, as the clean stage makes them."""
    judged = case.judge(pd.concat(list(case.raw()), ignore_index=True))
    good = judged[judged["fault"] == ""].drop(columns=["fault", "fix"])
    related = case.relate(good)
    days = good[related["fault"] == ""].join(related.drop(columns=["fault", "fix"]))
    return days[days["past"].notna() & days["next_date"].notna()].reset_index(drop=True)


def walked(days: DataFrame, forecast: Callable[[DataFrame, DataFrame], DataFrame]) -> tuple[DataFrame, float]:
    """Predictions of `forecast(train, rows)` for each year from the days before it, and the CPU seconds they took."""
    began = time.process_time()
    years = [forecast(train, rows) for train, rows in folds(days)]
    return pd.concat(years, ignore_index=True), time.process_time() - began


def folds(days: DataFrame) -> Iterator[tuple[DataFrame, DataFrame]]:
    """For each year the days before it, and its own of the series that is asked for."""
    for year in YEARS:
        begin, end = pd.Timestamp(f"{year}-01-01"), pd.Timestamp(f"{year + 1}-01-01")
        rows = days[(days["next_date"] >= begin) & (days["next_date"] < end) & (days["ticker"] == ASKED)]
        yield days[days["next_date"] < begin - EMBARGO].reset_index(drop=True), rows.reset_index(drop=True)


def network(case: Finance, training: Training) -> Callable[[DataFrame, DataFrame], DataFrame]:
    """A network fitted afresh to the train rows, on all series, with no rows held out."""

    def forecast(train: DataFrame, rows: DataFrame) -> DataFrame:
        learnt = case.learn(train)
        inputs, targets = case.encode(train, learnt)
        torch.manual_seed(training.seed)
        fitted = fit.fit(
            case.network(learnt), inputs, targets, objective=lambda model, x, y: case.loss(model(x), y), training=training
        )
        return case.decode(rows, fit.predict(fitted.network, case.encode(rows, learnt)[0]), learnt)

    return forecast


def classics(case: Finance, days: DataFrame) -> Iterator[tuple[str, tuple[DataFrame, float]]]:
    """Every classic, fitted to the asked series alone, as it is done."""
    began = time.process_time()
    years = [case.baselines(train[train["ticker"] == ASKED].reset_index(drop=True), rows) for train, rows in folds(days)]
    spent = (time.process_time() - began) / len(years[0])
    for name in years[0]:
        yield name, (pd.concat([year[name] for year in years], ignore_index=True), spent)


def row(case: Finance, fear: str, name: str, predictions: DataFrame, cpu_s: float, best: DataFrame) -> dict[str, Any]:
    scores, gain = case.score(predictions), case.against(predictions, best)
    found: dict[str, Any] = {"model": name, "knows the VIX": bool(fear)}
    found |= {key: round(scores[key], 4) for key in ("qlike", "mse", "log_r2", "pinball_5", "pinball_1")}
    for quantile, level in QUANTILES.items():
        tested = risk.coverage(predictions["next_return"], predictions[quantile], level)
        found[f"below {level:.0%}"] = round(tested.share, 4)
        found[f"Kupiec p {level:.0%}"] = round(tested.kupiec_p, 3)
        found[f"Christoffersen p {level:.0%}"] = None if tested.christoffersen_p is None else round(tested.christoffersen_p, 3)
    return found | {"DM t": round(gain["statistic"], 2), "DM p": round(gain["p"], 4), "cpu_s": round(cpu_s, 1)}
