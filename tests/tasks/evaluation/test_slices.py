"""Slices where a compressed model is worse: a planted one is found, and equal models have none."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.problem import Problem
from tasks.evaluation import slices
from tasks.evaluation.slices import PairedPredictions
from tasks.use_cases.finance.volatility_forecasting import VolatilityForecasting
from tests.support.tiny_images import BarClassification, Bars

CLASSES = ("bag", "boot", "coat", "dress", "shirt")


class Wear(Bars):
    def slice_columns(self, rows: Any) -> Any:
        return rows[["label", "length"]]


class Measured(Problem):
    """A problem whose predictions hold their row values, which are errors."""

    higher_is_better = False

    def loss(self, outputs: Any, targets: Any, training: Any) -> Any: ...

    def decode(self, rows: Any, outputs: Any, state: Any) -> Any: ...

    def metrics(self, predictions: Any) -> Any: ...

    def report(self, predictions: Any) -> Any: ...

    def per_row_metric(self, predictions: Any) -> Any:
        return predictions["error"].to_numpy()


def rows_of(generator: Any, count: int = 1000) -> pd.DataFrame:
    label = generator.choice(CLASSES, count)
    file = generator.choice(["a/1.png", "a/2.png", "b/1.png"], count)
    return pd.DataFrame({"label": label, "length": generator.integers(5, 200, count), "file": file})


def flipped(generator: Any, dense: pd.DataFrame, share: float) -> pd.DataFrame:
    """A copy that differs in about this share of the rows: a row that it loses is as likely as one that it wins."""
    own, right = dense.copy(), (dense["predicted"] == dense["label"]).to_numpy()
    for is_right in (True, False):
        of_a_kind = np.flatnonzero(right == is_right)
        changed = of_a_kind[generator.random(len(of_a_kind)) < share / 2 * len(dense) / len(of_a_kind)]
        own.loc[changed, "predicted"] = "none" if is_right else dense.loc[changed, "label"]
    return own


def pair(generator: Any, change: Any, count: int = 1000) -> PairedPredictions:
    """Rows, predictions of a dense model that is right on about 85 % of them, and those of `change(rows, dense)`."""
    rows = rows_of(generator, count)
    guesses = np.where(generator.random(count) < 0.8, rows["label"], generator.choice(CLASSES, count))
    dense = rows[["label"]].assign(predicted=guesses)
    return PairedPredictions(rows, dense, change(rows, dense))


def search(seed: int, change: Any, count: int = 1000) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    pairs = [pair(generator, lambda rows, dense: change(generator, rows, dense), count) for _ in range(2)]
    return slices.find_slices(Wear(), BarClassification(), *pairs)


def test_a_model_compared_with_itself_has_no_slice() -> None:
    found = search(0, lambda generator, rows, dense: dense)
    assert found["candidates"] == 5 + 5 + 5 + 3
    assert (found["tested"], found["confirmed"], found["nearest"]) == (0, [], [])


def test_a_copy_with_symmetric_flips_has_a_slice_in_at_most_5_of_100_seeds() -> None:
    results = [search(seed, lambda generator, rows, dense: flipped(generator, dense, 0.05), 500) for seed in range(100)]
    assert sum(bool(each["confirmed"]) for each in results) <= 5
    assert np.mean([each["tested"] for each in results]) > 3
    assert max(each["tested"] for each in results) <= slices.MAX_TESTED
    assert all(len(each["nearest"]) <= 3 for each in results)


@pytest.mark.parametrize("seed", range(5))
def test_a_class_that_loses_30_percent_is_found_and_no_other_class(seed: int) -> None:
    def forget(generator: Any, rows: Any, dense: Any) -> Any:
        lost = (rows["label"] == "coat") & (generator.random(len(rows)) < 0.3)
        return flipped(generator, dense, 0.02).mask(lost, dense.assign(predicted="none"))

    found = search(seed, forget)
    first = found["confirmed"][0]
    assert first["slice"] in ("label = coat", "predicted = coat")
    assert {each["value"] for each in found["confirmed"] if each["column"] == "label"} == {"coat"}
    coat = next(each for each in found["confirmed"] if each["slice"] == "label = coat")
    assert coat["drop"]["low"] < 0.3 < coat["drop"]["high"] + 0.1
    assert coat["drop"]["value"] == pytest.approx(coat["dense"] - coat["own"])
    assert 0 <= coat["p"] <= coat["adjusted_p"] <= slices.ALPHA


def test_a_range_of_a_number_that_loses_is_found() -> None:
    def forget(generator: Any, rows: Any, dense: Any) -> Any:
        return dense.mask((rows["length"] > 170) & (generator.random(len(rows)) < 0.4), dense.assign(predicted="none"))

    found = search(1, forget)
    assert found["confirmed"][0]["column"] == "length"
    assert found["confirmed"][0]["value"].startswith("> 1")
    assert found["confirmed"][0]["slice"] == f"length {found['confirmed'][0]['value']}"


def test_a_loss_on_validation_alone_is_not_confirmed() -> None:
    generator = np.random.default_rng(2)
    worse = pair(generator, lambda rows, dense: dense.mask(rows["label"] == "bag", dense.assign(predicted="none")))
    same = pair(generator, lambda rows, dense: dense)
    found = slices.find_slices(Wear(), BarClassification(), worse, same)
    assert found["tested"] > 0
    assert found["confirmed"] == []
    assert found["nearest"][0]["p"] == 1.0


def test_few_rows_are_no_slice_and_equal_slices_count_once() -> None:
    table = pd.DataFrame({"one": ["a"] * 60 + ["b"] * 40 + ["c"] * 20, "same": ["x"] * 60 + ["y"] * 60, "all": ["z"] * 120})
    found = [each.text for each in slices.candidate_slices(table, table)]
    assert found == ["one = a", "one = b", "same = y"]


def test_numbers_are_cut_at_the_fifths_of_validation_and_missing_ones_are_left_out() -> None:
    validation = pd.DataFrame({"size": [*np.arange(200.0), np.nan]})
    test = pd.DataFrame({"size": [*np.arange(50.0, 250.0), np.nan]})
    found = list(slices.candidate_slices(validation, test, 10))
    assert [each.value for each in found] == ["39.8–79.6", "79.6–119.4", "119.4–159.2", "> 159.2"]
    assert [len(each.validation) for each in found] == [40, 40, 40, 40]
    assert [len(each.test) for each in found] == [30, 40, 40, 90]


def test_a_metric_that_is_better_when_lower_is_compared_in_its_own_sign() -> None:
    generator = np.random.default_rng(0)

    def errors(added: float) -> PairedPredictions:
        rows = rows_of(generator)
        dense = pd.DataFrame({"error": generator.exponential(1, len(rows))})
        return PairedPredictions(rows, dense, dense + added * (rows["label"] == "boot").to_numpy()[:, None])

    worse = slices.find_slices(Wear(), Measured(), errors(0.3), errors(0.3))["confirmed"][0]
    assert worse["slice"] == "label = boot"
    assert worse["drop"]["value"] == pytest.approx(worse["own"] - worse["dense"])
    assert slices.find_slices(Wear(), Measured(), errors(-0.3), errors(-0.3))["tested"] == 0


def test_forecasts_are_compared_by_the_test_that_allows_for_dependent_days() -> None:
    generator = np.random.default_rng(0)
    days = 400
    rows = pd.DataFrame({"label": np.tile(["a", "b"], days // 2), "length": np.zeros(days)})
    dates = pd.date_range("2020-01-01", periods=days)
    realised = generator.exponential(1, days)
    dense = pd.DataFrame({"next_date": dates, "next_variance": realised, "variance": 1.0})
    own = dense.assign(variance=np.where(rows["label"] == "b", 3.0, 1.0))
    both = PairedPredictions(rows, dense, own)
    found = slices.find_slices(Wear(), VolatilityForecasting(), both, both)
    assert [each["slice"] for each in found["confirmed"]] == ["label = b"]
    metric = slices.PairedMetric(VolatilityForecasting(), both)
    assert metric.min_rows == slices.MIN_DEPENDENT_ROWS
    assert metric.p_value(np.flatnonzero(rows["label"] == "a")) == 1.0
