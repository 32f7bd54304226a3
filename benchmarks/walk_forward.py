"""Tomorrow's variance of the S&P 500, out of sample 2010 to 2018, all fitted anew each year to all days before it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from benchmarks import record
from tasks import export, fit, library, risk
from tasks.compress import compressed, scorer
from tasks.contracts import Bench
from tasks.journal import Journal
from tasks.use_cases.finance import QUANTILES, Finance, Model

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.contracts import Step

    Forecast = Callable[[DataFrame, DataFrame], dict[str, DataFrame]]

PARAMS = Path(__file__).parents[1] / "params.yaml"
YEARS = range(2010, 2019)
ASKED = "sp500"
EMBARGO = pd.Timedelta(days=5)
LAST_YEAR = 252
"""Train days of the asked series by which the steps of a recipe choose."""
HAR_MLP = {"epochs": 30, "learning_rate": 0.01, "clip_norm": 0.0}
RIVALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "HAR-MLP": ({"architecture": "har_mlp"}, HAR_MLP),
    "temporal convolution": ({"architecture": "tcn"}, {"epochs": 10}),
    "Transformer": ({"architecture": "series_transformer"}, {"epochs": 10, "learning_rate": 0.003}),
}
"""What the other networks are fitted with, else as the dense one: chosen on 2004 to 2009, walked forward alike."""


def main() -> None:
    """Every network, every recipe and every classic on the same days, without the VIX and with it."""
    torch.set_num_threads(1)
    params = library.read_params(PARAMS)
    recipes = {name: library.recipe(name, params) for name in params.recipes}
    rows: list[dict[str, Any]] = []
    for fear in ("", "vix"):
        case = library.use_case("finance", library.override(params, {"fetch.fear": fear}, "finance"))
        assert isinstance(case, Finance)
        days = known_days(case)
        found = classics(case, days)
        best = min(found, key=lambda name: case.score(found[name][0])["qlike"])
        dense = f"{case.model.architecture}, dense"
        for name, answer in walked(days, shipped(case, recipes)).items():
            found[f"{case.model.architecture}, {name}"] = answer
        for name, (model, training) in RIVALS.items():
            other = replace(case, model=Model(**model), training=replace(case.training, **training))
            found[name] = walked(days, shipped(other, {"dense": ()}))["dense"]
        rows += [row(case, fear, name, *answer, found[best][0], found[dense][0]) for name, answer in found.items()]
    sentence = (
        f"QLIKE (less is better) of the next day's Garman-Klass variance of the S&P 500, {len(found[best][0]):,} days of "
        f"{YEARS[0]} to {YEARS[-1]}, expanding window, refitted yearly, settings chosen on days before 2010. "
        "DM: Diebold-Mariano against the best classic of the same information, positive is better."
    )
    record.write("walk_forward", sentence, rows, seed=case.training.seed)


def known_days(case: Finance) -> DataFrame:
    """All clean days that know their past and their next day, as the clean stage makes them."""
    judged = case.judge(pd.concat(list(case.raw()), ignore_index=True))
    good = judged[judged["fault"] == ""].drop(columns=["fault", "fix"])
    related = case.relate(good)
    days = good[related["fault"] == ""].join(related.drop(columns=["fault", "fix"]))
    return days[days["past"].notna() & days["next_date"].notna()].reset_index(drop=True)


def walked(days: DataFrame, forecast: Forecast) -> dict[str, tuple[DataFrame, float]]:
    """By name, predictions for each year from the days before it, and the CPU seconds that all of them took together."""
    began = time.process_time()
    years = [forecast(train, rows) for train, rows in folds(days)]
    spent = time.process_time() - began
    return {name: (pd.concat([year[name] for year in years], ignore_index=True), spent) for name in years[0]}


def folds(days: DataFrame) -> Iterator[tuple[DataFrame, DataFrame]]:
    """For each year the days before it, and its own of the series that is asked for."""
    for year in YEARS:
        begin, end = pd.Timestamp(f"{year}-01-01"), pd.Timestamp(f"{year + 1}-01-01")
        rows = days[(days["next_date"] >= begin) & (days["next_date"] < end) & (days["ticker"] == ASKED)]
        yield days[days["next_date"] < begin - EMBARGO].reset_index(drop=True), rows.reset_index(drop=True)


def shipped(case: Finance, recipes: Mapping[str, tuple[Step, ...]]) -> Forecast:
    """A network fitted afresh to the train rows of all series, and what the file that each recipe makes of it answers."""

    def forecast(train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
        learnt = case.learn(train)
        inputs, targets = case.encode(train, learnt)
        asked, _ = case.encode(rows, learnt)
        last_year = train[train["ticker"] == ASKED].tail(LAST_YEAR).reset_index(drop=True)
        held_inputs, held_targets = case.encode(last_year, learnt)
        torch.manual_seed(case.training.seed)
        fresh = case.network(learnt)
        dense = fit.fit(fresh, inputs, targets, objective=lambda net, x, y: case.loss(net(x), y), training=case.training).network
        found = {}
        for name, recipe in recipes.items():
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(
                    case=case,
                    learnt=learnt,
                    inputs=inputs,
                    targets=targets,
                    validation_inputs=held_inputs,
                    validation_targets=held_targets,
                    score=scorer(case, last_year, learnt),
                    journal=Journal(Path(folder) / "walk.jsonl"),
                    scratch=Path(folder),
                )
                model = compressed(dense, recipe, bench, "finance")[1]
            found[name] = case.decode(rows, export.predict(model, asked), learnt)
        return found

    return forecast


def classics(case: Finance, days: DataFrame) -> dict[str, tuple[DataFrame, float]]:
    """Every classic, fitted to the asked series alone, as it is done."""
    return walked(days, lambda train, rows: case.baselines(train[train["ticker"] == ASKED].reset_index(drop=True), rows))


def row(
    case: Finance, fear: str, name: str, predictions: DataFrame, cpu_s: float, best: DataFrame, dense: DataFrame
) -> dict[str, Any]:
    """One line of the table."""
    scores, gain = case.score(predictions), case.against(predictions, best)
    found: dict[str, Any] = {"model": name, "knows the VIX": bool(fear)}
    found |= {key: round(scores[key], 4) for key in ("qlike", "mse", "log_r2", "pinball_5", "pinball_1")}
    for quantile, level in QUANTILES.items():
        tested = risk.coverage(predictions["next_return"], predictions[quantile], level)
        found[f"below {level:.0%}"] = round(tested.share, 4)
        found[f"Kupiec p {level:.0%}"] = round(tested.kupiec_p, 3)
        found[f"Christoffersen p {level:.0%}"] = None if tested.christoffersen_p is None else round(tested.christoffersen_p, 3)
    found |= {"DM t": round(gain["statistic"], 2), "DM p": round(gain["p"], 4)}
    return found | {"drop from dense": round(scores["qlike"] - case.score(dense)["qlike"], 4), "cpu_s": round(cpu_s, 1)}
