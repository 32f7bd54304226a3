"""Slices: groups of rows on which a compressed model is worse than dense, found on validation and confirmed on test.

Rows that suggest a slice cannot prove it, since the worst of many groups is bad by chance. So validation rows rank the slices, a
few of the worst go on to test rows, and the p-values there are corrected for their number by the method of S. Holm (Scandinavian
Journal of Statistics 6, 1979). It bounds the probability of naming even one slice wrongly, however much the slices overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.core.problem import Problem
from tasks.core.use_case import UseCase
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

MIN_ROWS = 30
"""The fewest rows of a slice in each split."""
MIN_DEPENDENT_ROWS = 100
"""The same where a problem's own test allows for dependence between rows, which needs more of them."""
MAX_TESTED = 10
"""The most slices that go from validation to test: each one more makes all of them harder to confirm."""
PARTS = 5
"""Numbers are cut into this many parts of about equal size on validation."""
MAX_VALUES = 200
"""A column of text with more distinct values gives no slices."""
MAX_FOLDERS = 50
NEAREST = 3
ALPHA = 0.05
"""The largest probability that a confirmed slice is there by chance, for all slices of a recipe together."""


@dataclass(frozen=True, slots=True)
class PairedPredictions:
    """The rows of one split, and the predictions of dense and of the recipe for them, in the same order."""

    rows: DataFrame
    dense: DataFrame
    own: DataFrame


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows with one value, or within one range, of a column: their places in validation and in test."""

    column: str
    value: str
    text: str
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def find_slices(case: UseCase, problem: Problem, validation: PairedPredictions, test: PairedPredictions) -> dict[str, Any]:
    """The slices on which the recipe is worse than dense beyond doubt, and the nearest to that; plain JSON values.

    `candidates` slices are compared on validation rows; `tested` is the number of those compared on test rows.
    """
    columns = _slice_columns(case, validation), _slice_columns(case, test)
    on_validation, on_test = PairedMetric(problem, validation), PairedMetric(problem, test)
    candidates = list(candidate_slices(*columns, on_validation.min_rows))
    worse = [each for each in candidates if on_validation.drop(each.validation) > 0]
    chosen = sorted(worse, key=lambda each: on_validation.p_value(each.validation))[:MAX_TESTED]
    p_values = [on_test.p_value(each.test) for each in chosen]
    tested = [
        {**on_test.describe(each), "p": p, "adjusted_p": adjusted}
        for each, p, adjusted in zip(chosen, p_values, statistics.holm(p_values), strict=True)
    ]
    tested.sort(key=lambda each: (each["adjusted_p"], each["p"], -each["drop"]["value"]))
    return {
        "candidates": len(candidates),
        "tested": len(tested),
        "alpha": ALPHA,
        "confirmed": [each for each in tested if each["adjusted_p"] <= ALPHA],
        "nearest": tested[:NEAREST],
    }


class PairedMetric:
    """The first metric of dense and of the recipe, row by row on the same rows, and tests of its drop on some of them."""

    def __init__(self, problem: Problem, pair: PairedPredictions) -> None:
        self.problem, self.pair = problem, pair
        self.sign = 1.0 if problem.higher_is_better else -1.0
        self.dense, self.own = (np.asarray(problem.per_row_metric(table), np.float64) for table in (pair.dense, pair.own))
        self.has_own_test = type(problem).compare_to_baseline is not Problem.compare_to_baseline
        self.min_rows = MIN_DEPENDENT_ROWS if self.has_own_test else MIN_ROWS

    def drop(self, places: NDArray[np.int64]) -> float:
        """The mean drop from dense to the recipe; positive is a loss."""
        return float((self.sign * (self.dense[places] - self.own[places])).mean())

    def p_value(self, places: NDArray[np.int64]) -> float:
        """The one-sided p-value of "the recipe is not worse than dense on these rows"."""
        gain = self._own_test(places)
        if gain is None:
            return statistics.paired_p_value(self.sign * self.dense[places], self.sign * self.own[places])
        half = float(gain["high"]) - float(gain["value"])
        if half <= 0:
            return 1.0
        return NormalDist().cdf(-float(gain["value"]) / half * NormalDist().inv_cdf(0.975))

    def describe(self, each: Slice) -> dict[str, Any]:
        """The slice with its rows, both means and the drop with its 95 % interval, on these rows."""
        places = each.test
        drop = self._own_test(places)
        if drop is None:
            drop = statistics.paired_drop(self.sign * self.dense[places], self.sign * self.own[places]).as_dict()
        return {
            "slice": each.text,
            "column": each.column,
            "value": each.value,
            "rows": len(places),
            "dense": float(self.dense[places].mean()),
            "own": float(self.own[places].mean()),
            "drop": {key: float(drop[key]) for key in ("value", "low", "high")},
        }

    def _own_test(self, places: NDArray[np.int64]) -> Mapping[str, Any] | None:
        """The gain of dense over the recipe by the problem's own test, if it has one; rows of a series are not independent."""
        if not self.has_own_test:
            return None
        return self.problem.compare_to_baseline(*(table.iloc[places] for table in (self.pair.dense, self.pair.own)))


def candidate_slices(validation: DataFrame, test: DataFrame, min_rows: int = MIN_ROWS) -> Iterator[Slice]:
    """The slices of the columns that both tables have: each value of text, and each of `PARTS` ranges of numbers.

    A slice of fewer than `min_rows` rows in a split is left out, and so is one with the same rows as an earlier one, or with all.
    """
    seen: set[tuple[bytes, bytes]] = set()
    for name in validation.columns:
        if name not in test.columns:
            continue
        values, groups = _groups(validation[name], test[name])
        for number, value in enumerate(values):
            places = [np.flatnonzero(group == number) for group in groups]
            key = places[0].tobytes(), places[1].tobytes()
            if min(map(len, places)) < min_rows or len(places[0]) == len(validation) or key in seen:
                continue
            seen.add(key)
            text = f"{name} = {value}" if _is_text(validation[name]) else f"{name} {value}"
            yield Slice(str(name), value, text, places[0], places[1])


def _groups(validation: Series, test: Series) -> tuple[list[str], list[NDArray[np.int64]]]:
    """The names of a column's values or ranges, and for each split the number of each row's, (N,); -1 for a missing number.

    The borders of the ranges come from the validation rows.
    """
    if _is_text(validation):
        texts = [column.astype(str).replace("", "?") for column in (validation, test)]
        values = sorted(set(texts[0]))
        if len(values) > MAX_VALUES:
            return [], []
        return values, [pd.Categorical(column, categories=values).codes.astype(np.int64) for column in texts]
    numbers = [column.to_numpy(np.float64) for column in (validation, test)]
    finite = numbers[0][np.isfinite(numbers[0])]
    if not len(finite):
        return [], []
    quantiles = np.quantile(finite, np.arange(1, PARTS) / PARTS)
    borders = sorted({float(f"{border:.4g}") for border in quantiles})
    names = [f"{border:g}" for border in borders]
    values = [f"≤ {names[0]}", *(f"{low}–{high}" for low, high in pairwise(names)), f"> {names[-1]}"]
    return values, [np.where(np.isfinite(each), np.searchsorted(borders, each, side="left"), -1) for each in numbers]


def _slice_columns(case: UseCase, pair: PairedPredictions) -> DataFrame:
    """The columns of the use case, the class that dense predicts, and the file or the folder where there are few."""
    columns = case.slice_columns(pair.rows).reset_index(drop=True)
    label = case.label_column(pair.rows)
    if label and "predicted" in pair.dense and set(pair.dense["predicted"]) <= set(pair.rows[label]):
        columns["predicted"] = pair.dense["predicted"].to_numpy()
    if "file" in pair.rows:
        files = pair.rows["file"].astype(str).reset_index(drop=True)
        for name, part in (("file", files), ("folder", files.str.rpartition("/")[0]), ("folder", files.str.partition("/")[0])):
            if 1 < part.nunique() <= MAX_FOLDERS:
                columns[name] = part.to_numpy()
                break
    return columns


def _is_text(column: Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)
