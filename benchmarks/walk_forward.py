"""Tomorrow's variance of the S&P 500, out of sample 2010 to 2018, all fitted anew each year to all days before it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import torch

from benchmarks import record
from tasks.core import onnx_model, params_file
from tasks.core.compression import CompressionContext
from tasks.core.event_log import EventLog
from tasks.stages.compress import compressed, scorer
from tasks.training import trainer
from tasks.use_cases.finance import risk_metrics
from tasks.use_cases.finance.settings import Model
from tasks.use_cases.finance.use_case import QUANTILES, Finance

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.compression import Step

    Forecast = Callable[[DataFrame, DataFrame], dict[str, DataFrame]]
    Answer = tuple[DataFrame, float]

PARAMS = Path(__file__).parents[1] / "params.yaml"
YEARS = range(2010, 2019)
ASKED = "sp500"
EMBARGO = pd.Timedelta(days=5)
LAST_YEAR = 252
"""Train days of the asked series by which the steps of a recipe choose."""
DENSE = "series_lstm"
RELEASED = "distilled"
"""What the contract in params.yaml lets be released of it."""
RIVALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "har_mlp": ({}, {"epochs": 30, "learning_rate": 0.01, "clip_norm": 0.0}),
    "series_transformer": ({}, {"epochs": 10, "learning_rate": 0.003}),
    "tcn": ({"hidden": 12}, {"epochs": 5, "learning_rate": 0.002}),
}
"""Widths and settings of the other networks, else as the dense one's: chosen on 2004 to 2009."""


def main(architectures: Sequence[str] = (DENSE, *RIVALS)) -> None:
    """Every network, what is released of the first, and every classic on the same days, without the VIX and with it.

    What is known is written after each network, for the last of them take long; lines of networks not walked again stay.
    """
    torch.set_num_threads(1)
    params = params_file.read_params(PARAMS)
    known = ((fear, params_file.apply_overrides(params, {"fetch.fear": fear}, "finance")) for fear in ("", "vix"))
    cases = {fear: cast(Finance, params_file.build_use_case("finance", changed)) for fear, changed in known}
    days = {fear: known_days(case) for fear, case in cases.items()}
    found = {fear: classics(case, days[fear]) for fear, case in cases.items()}
    best = {fear: min(rivals, key=lambda name: loss(cases[fear], rivals[name])) for fear, rivals in found.items()}
    recipes = {"dense": (), RELEASED: params_file.build_recipe(RELEASED, params)}
    for architecture in architectures:
        for fear, case in cases.items():
            other = case
            if architecture in RIVALS:
                shape, changed = RIVALS[architecture]
                model: dict[str, Any] = {"architecture": architecture, **shape}
                other = replace(case, model=Model(**model), training=replace(case.training, **changed))
            answers = walked(days[fear], export_state(other, recipes if architecture == DENSE else {"dense": ()}))
            found[fear] |= {f"{architecture}, {name}": answer for name, answer in answers.items()}
            tell(cases, found, best)


def tell(cases: Mapping[str, Finance], found: Mapping[str, Any], best: Mapping[str, str]) -> None:
    """Write the table of what is known."""
    rows = []
    for fear, case in cases.items():
        dense = found[fear].get(f"{DENSE}, dense")
        rows += [row(case, fear, name, answer, found[fear][best[fear]][0], dense) for name, answer in found[fear].items()]
    walked_again = {(line["model"], line["knows the VIX"]) for line in rows}
    path = record.RESULTS / "walk_forward.json"
    earlier = json.loads(path.read_text())["rows"] if path.exists() else []
    rows += [line for line in earlier if (line["model"], line["knows the VIX"]) not in walked_again]
    rows.sort(key=lambda line: line["knows the VIX"])
    count = len(found[""][best[""]][0])
    sentence = (
        f"QLIKE (less is better) of the next day's Garman-Klass variance of the S&P 500, {count:,} days of "
        f"{YEARS[0]} to {YEARS[-1]}, expanding window, refitted yearly, settings chosen on days before 2010. "
        f"The dense model is {DENSE} as in params.yaml, released is its recipe {RELEASED!r}; the student was made wider "
        "and taught for longer after an earlier one had lost more on these years: by 2004 to 2009, and, of those better there, "
        "the one surely within its contract on the packaged validation rows (2013 to 2016, without the VIX). Another was read "
        "on 2010 and 2011 on the way. "
        "DM: Diebold-Mariano against the best classic of the same information, positive is better; "
        "lost by compression: QLIKE of the released less that of the dense."
    )
    record.write("walk_forward", sentence, rows, seed=case.training.seed)


def known_days(case: Finance) -> DataFrame:
    """All clean days that know their past and their next day, as the clean stage makes them."""
    judged = case.clean_partition(pd.concat(list(case.load()), ignore_index=True))
    good = judged[judged["fault"] == ""].drop(columns=["fault", "fix"])
    related = case.clean_table(good)
    days = good[related["fault"] == ""].join(related.drop(columns=["fault", "fix"]))
    return days[days["past"].notna() & days["next_date"].notna()].reset_index(drop=True)


def walked(days: DataFrame, forecast: Forecast) -> dict[str, Answer]:
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


def export_state(case: Finance, recipes: Mapping[str, tuple[Step, ...]]) -> Forecast:
    """A network fitted afresh to the train rows of all series, and what the file that each recipe makes of it answers."""

    def forecast(train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
        state = case.fit_preprocessing(train)
        inputs, targets = case.encode(train, state)
        asked, _ = case.encode(rows, state)
        last_year = train[train["ticker"] == ASKED].tail(LAST_YEAR).reset_index(drop=True)
        held_inputs, held_targets = case.encode(last_year, state)
        torch.manual_seed(case.training.seed)
        fresh = case.build_model(state)
        dense = trainer.fit(
            fresh, inputs, targets, objective=lambda net, x, y: case.loss(net(x), y), training=case.training
        ).network
        found = {}
        for name, recipe in recipes.items():
            with tempfile.TemporaryDirectory() as folder:
                context = CompressionContext(
                    case=case,
                    state=state,
                    inputs=inputs,
                    targets=targets,
                    validation_inputs=held_inputs,
                    validation_targets=held_targets,
                    score=scorer(case, last_year, state),
                    event_log=EventLog(Path(folder) / "walk.jsonl"),
                    scratch=Path(folder),
                )
                model = compressed(dense, recipe, context, "finance")[1]
            found[name] = case.decode(rows, onnx_model.predict(model, asked), state)
        return found

    return forecast


def classics(case: Finance, days: DataFrame) -> dict[str, Answer]:
    """Every classic, fitted to the asked series alone, as it is done."""
    return walked(days, lambda train, rows: case.baselines(train[train["ticker"] == ASKED].reset_index(drop=True), rows))


def loss(case: Finance, answer: Answer) -> float:
    return case.metrics(answer[0])["qlike"]


def row(case: Finance, fear: str, name: str, answer: Answer, best: DataFrame, dense: Answer | None) -> dict[str, Any]:
    """One line of the table."""
    predictions, cpu_s = answer
    scores, gain = case.metrics(predictions), case.compare_to_baseline(predictions, best)
    found: dict[str, Any] = {"model": name, "knows the VIX": bool(fear)}
    found |= {key: round(scores[key], 4) for key in ("qlike", "mse", "log_r2", "pinball_5", "pinball_1")}
    for quantile, level in QUANTILES.items():
        tested = risk_metrics.coverage_test(predictions["next_return"], predictions[quantile], level)
        found[f"below {level:.0%}"] = round(tested.share, 4)
        found[f"Kupiec p {level:.0%}"] = round(tested.kupiec_p, 3)
        found[f"Christoffersen p {level:.0%}"] = None if tested.christoffersen_p is None else round(tested.christoffersen_p, 3)
    found |= {"DM t": round(gain["statistic"], 2), "DM p": round(gain["p"], 4)}
    drop = round(scores["qlike"] - loss(case, dense), 4) if dense and RELEASED in name else None
    return found | {"lost by compression": drop, "cpu_s": round(cpu_s, 1)}
