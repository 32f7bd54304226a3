"""Robustness: a model's scores under corruptions of the test rows, paired with dense on the same corrupted rows.

After D. Hendrycks and T. Dietterich 2019 (ICLR, arXiv 1903.12261), with the mean over corruptions in absolute terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd

from tasks.core import onnx_model
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.use_case import Corruption, UseCase
from tasks.data import sampling
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from tasks.core.problem import Array

    Values = NDArray[np.float64]

MIN_ROWS, MAX_ROWS = 300, 1000
"""How many test rows are corrupted, evenly spaced over the split: the most for a small dense network, the fewest for a large."""
MACS = 4e9
"""Rows times multiply-accumulates of dense for one row, which bounds the rows in between."""


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """A recipe's ONNX file and the preprocessing state in its metadata."""

    content: bytes
    state: PreprocessingState


@dataclass(frozen=True, slots=True)
class ModelPair:
    """The model under test and dense; for dense itself the two are the same."""

    own: ShippedModel
    dense: ShippedModel
    dense_macs: int = 0
    """Multiply-accumulates of dense for one row."""

    @property
    def is_dense(self) -> bool:
        return self.own is self.dense


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The predictions of both models for the same rows, under one corruption or none."""

    own: DataFrame
    dense: DataFrame
    index: pd.Index[Any]
    """The rows that the corruption keeps."""


def measure(case: UseCase, pair: ModelPair, test_rows: DataFrame) -> dict[str, Any]:
    """Scores without and under each corruption, the drops against dense, and their mean; empty without corruptions.

    `test_rows` are all test rows; `MIN_ROWS` to `MAX_ROWS` of them are corrupted. A drop is positive where the model is worse.
    """
    corruptions = case.corruptions()
    if not corruptions or test_rows.empty:
        return {}
    rows = sample_rows(test_rows, row_limit(pair.dense_macs, MACS, MIN_ROWS, MAX_ROWS))
    problem, predict = case.problem_of(pair.own.state), _predictor(case, pair)
    clean = predict(rows)
    outcomes = [predict(corruption.apply(rows, seeded(corruption))) for corruption in corruptions]
    report: dict[str, Any] = {"rows": len(rows), "metric": next(iter(problem.metrics(clean.own)))}
    report["clean"] = _scores(problem, clean)
    report["corruptions"] = [
        {
            "name": corruption.name,
            "severity": corruption.severity,
            "rows": len(outcome.index),
            **_scores(problem, outcome),
            "drop": None if pair.is_dense else drop_from_dense(problem, outcome.own, outcome.dense),
            "from_clean": _drop_from_clean(problem, clean, outcome),
        }
        for corruption, outcome in zip(corruptions, outcomes, strict=True)
    ]
    report["mean"] = _mean(problem, rows.index, outcomes, pair.is_dense)
    return report


def row_limit(macs: int, budget: float, fewest: int, most: int) -> int:
    """How many rows of so many multiply-accumulates fit the budget, within bounds; it depends on no clock."""
    return int(min(most, max(fewest, budget // max(1, macs))))


def sample_rows(rows: DataFrame, limit: int) -> DataFrame:
    """At most `limit` rows, evenly spaced, with a new index."""
    (chosen,) = sampling.evenly_spaced_rows([len(rows)], limit)
    return rows.iloc[chosen].reset_index(drop=True)


def seeded(corruption: Corruption) -> np.random.Generator:
    """The random numbers of a corruption: they depend on its name and severity only."""
    return np.random.default_rng([statistics.SEED, crc32(corruption.name.encode()), corruption.severity])


def drop_from_dense(problem: Problem, own: DataFrame, dense: DataFrame) -> dict[str, Any]:
    """The drop of the first metric from dense on the same rows: the problem's own comparison, or paired by row."""
    compared = problem.compare_to_baseline(dense, own)
    if compared:
        return {name: compared[name] for name in ("value", "low", "high", "method")}
    return statistics.paired_drop(signed_values(problem, dense), signed_values(problem, own)).as_dict()


def signed_values(problem: Problem, predictions: DataFrame) -> Values:
    """The metric of each row (N,), with the sign at which larger is better."""
    sign = 1.0 if problem.higher_is_better else -1.0
    return sign * np.asarray(problem.per_row_metric(predictions), np.float64)


def _predictor(case: UseCase, pair: ModelPair) -> Callable[[DataFrame], _Outcome]:
    """The function that predicts rows with both files; rows are encoded once where both files have the same state."""
    same_state, problem = pair.own.state == pair.dense.state, case.problem_of(pair.own.state)
    own_session = onnx_model.create_session(pair.own.content)
    dense_session = own_session if pair.is_dense else onnx_model.create_session(pair.dense.content)

    def predict(rows: DataFrame) -> _Outcome:
        inputs, _ = case.encode(rows, pair.own.state)
        own = problem.decode(rows, run(own_session, inputs), pair.own.state).reset_index(drop=True)
        if pair.is_dense:
            return _Outcome(own, own, rows.index)
        dense_inputs = inputs if same_state else case.encode(rows, pair.dense.state)[0]
        dense = problem.decode(rows, run(dense_session, dense_inputs), pair.dense.state).reset_index(drop=True)
        return _Outcome(own, dense, rows.index)

    return predict


def run(session: Any, inputs: Array) -> Array:
    """The outputs (N, ...) of a file for inputs (N, ...), in batches."""
    size = onnx_model.batch_rows(inputs)
    batches = [session.run(None, {"inputs": inputs[at : at + size]})[0] for at in range(0, max(1, len(inputs)), size)]
    outputs: Array = np.concatenate(batches)
    return outputs


def _scores(problem: Problem, outcome: _Outcome) -> dict[str, Any]:
    """The first metric with its interval, and dense's."""
    interval = statistics.mean_interval(np.asarray(problem.per_row_metric(outcome.own), np.float64))
    dense = float(np.asarray(problem.per_row_metric(outcome.dense), np.float64).mean())
    return {"score": interval.value, "low": interval.low, "high": interval.high, "dense_score": dense}


def _drop_from_clean(problem: Problem, clean: _Outcome, outcome: _Outcome) -> dict[str, Any]:
    """The drop of the model from its own score without corruption; without an interval where rows are left out."""
    before, after = signed_values(problem, clean.own), signed_values(problem, outcome.own)
    if len(before) == len(after):
        drop = statistics.paired_drop(before, after)
        return {"value": drop.value, "low": drop.low, "high": drop.high}
    return {"value": float(before.mean() - after.mean()), "low": None, "high": None}


def _mean(problem: Problem, index: pd.Index[Any], outcomes: Sequence[_Outcome], is_dense: bool) -> dict[str, Any]:
    """The mean over corruptions of score, dense's score and drop; the drop is averaged row by row, then over rows."""
    sign = 1.0 if problem.higher_is_better else -1.0
    values = {name: [signed_values(problem, getattr(outcome, name)) for outcome in outcomes] for name in ("own", "dense")}
    mean: dict[str, Any] = {
        "score": float(np.mean([sign * part.mean() for part in values["own"]])),
        "dense_score": float(np.mean([sign * part.mean() for part in values["dense"]])),
        "drop": None,
    }
    if not is_dense and (compared := _compared_together(problem, outcomes)):
        mean["drop"] = compared
    elif not is_dense:
        differences = [dense - own for dense, own in zip(values["dense"], values["own"], strict=True)]
        mean["drop"] = mean_drop(index, [(outcome.index, part) for outcome, part in zip(outcomes, differences, strict=True)])
    return mean


def _compared_together(problem: Problem, outcomes: Sequence[_Outcome]) -> dict[str, Any] | None:
    """The drop over the rows of all corruptions together by the problem's own comparison, or None if it has none.

    Such a comparison groups dependent rows itself, as those of one day. Its interval is that of a normal distribution.
    """
    dense, own = (pd.concat([getattr(outcome, name) for outcome in outcomes], ignore_index=True) for name in ("dense", "own"))
    compared = problem.compare_to_baseline(dense, own)
    if not compared:
        return None
    value, low, high = (float(compared[name]) for name in ("value", "low", "high"))
    error = (high - low) / (2 * NormalDist().inv_cdf(0.975))
    at_most = value + NormalDist().inv_cdf(0.95) * error
    drop = {"value": value, "low": low, "high": high, "rows": len(dense), "method": compared["method"]}
    return {**drop, "standard_error": error, "at_most": at_most}


def mean_drop(index: pd.Index[Any], differences: Sequence[tuple[pd.Index[Any], Values]]) -> dict[str, Any]:
    """The mean of differences that share rows, with its interval and standard error.

    Each entry is the rows that a corruption keeps and their differences. A row's differences are averaged over the corruptions
    that keep it, because they depend on each other; then rows are resampled. Rows without any are left out.
    """
    table = pd.DataFrame({number: pd.Series(values, rows) for number, (rows, values) in enumerate(differences)}, index=index)
    rows = table.mean(axis=1).dropna().to_numpy(np.float64)
    error = float(rows.std(ddof=1)) / len(rows) ** 0.5 if len(rows) > 1 else 0.0
    drop = statistics.paired_drop(rows, np.zeros(len(rows)))
    bound = statistics.paired_drop(rows, np.zeros(len(rows)), statistics.one_sided()).high
    return {**drop.as_dict(), "standard_error": error, "at_most": bound}
