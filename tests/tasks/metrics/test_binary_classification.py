"""Probabilities of default are judged as the textbooks do: ranking, calibration, cost, and whom mistakes hit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tasks.metrics import binary_classification


@pytest.fixture(scope="module")
def said() -> Any:
    numbers = np.random.default_rng(3)
    probability = np.round(numbers.beta(1, 4, 900), 2)  # ties among them
    return (numbers.random(900) < probability).astype(float), probability


def test_the_area_brier_score_and_log_loss_are_those_of_scikit_learn(said: Any) -> None:
    target, probability = said
    scores = binary_classification.metrics(target, probability)
    assert scores["auc"] == pytest.approx(roc_auc_score(target, probability), abs=1e-12)
    assert scores["brier"] == pytest.approx(brier_score_loss(target, probability), abs=1e-12)
    held = np.clip(probability, binary_classification.MIN_PROBABILITY, 1 - binary_classification.MIN_PROBABILITY)
    assert scores["log_loss"] == pytest.approx(log_loss(target, held), abs=1e-9)


def test_the_separation_is_the_largest_distance_of_the_two_distributions(said: Any) -> None:
    from scipy.stats import ks_2samp

    target, probability = said
    wanted = ks_2samp(probability[target == 1], probability[target == 0]).statistic
    assert binary_classification.metrics(target, probability)["ks"] == pytest.approx(wanted, abs=1e-12)


def test_row_values_have_the_area_as_their_mean_and_its_spread(said: Any) -> None:
    target, probability = said
    values = binary_classification.auc_components(target, probability)
    assert values.mean() == pytest.approx(roc_auc_score(target, probability), abs=1e-12)
    numbers = np.random.default_rng(0)
    draws = [numbers.integers(0, len(target), len(target)) for _ in range(400)]
    spread = np.std([roc_auc_score(target[rows], probability[rows]) for rows in draws])
    assert values.std() / len(values) ** 0.5 == pytest.approx(spread, rel=0.15)


def test_calibration_of_a_truthful_forecaster_is_near_nothing_and_of_a_boaster_it_is_not(said: Any) -> None:
    target, probability = said
    assert binary_classification.metrics(target, probability)["ece"] < 0.05
    assert binary_classification.metrics(target, np.clip(probability * 3, 0, 1))["ece"] > 0.2
    told = binary_classification.reliability(target, probability)
    assert sum(row["rows"] for row in told["bins"]) == len(target)


def test_refusing_where_the_costs_say_so_is_cheaper_than_taking_or_refusing_all(said: Any) -> None:
    target, probability = said
    for row in binary_classification.cost_curve(target, probability):
        assert row["cost"] <= min(row["take_all"], row["refuse_all"]) + 0.02
        assert row["threshold"] == pytest.approx(1 / (1 + row["default_over_refusal"]))
    assert binary_classification.cost(target, probability, 0.0, 5, 1) == pytest.approx((target == 0).mean())


def test_fairness_counts_each_group_and_the_gap_between_them(said: Any) -> None:
    target, probability = said
    groups = np.where(np.arange(len(target)) % 3 == 0, "old", "young")
    groups[:5] = "few"
    found = binary_classification.fairness(target, probability, groups, 0.2)
    rows = {row["group"]: row for row in found["groups"]}
    assert set(rows) == {"old", "young"}, "of five rows nothing can be said"
    old = groups == "old"
    assert rows["old"]["rows"] == old.sum()
    assert rows["old"]["refused_good"] == pytest.approx((probability[old & (target == 0)] >= 0.2).mean())
    assert found["gaps"]["refused"] == pytest.approx(abs(rows["old"]["refused"] - rows["young"]["refused"]))


def test_one_kind_of_row_only_ranks_nothing() -> None:
    scores = binary_classification.metrics(np.zeros(9), np.linspace(0, 1, 9))
    assert (scores["auc"], scores["ks"]) == (0.5, 0.0)


def test_a_span_holds_its_lower_edge_and_what_is_missing_is_in_none() -> None:
    found = binary_classification.bin_labels(pd.Series([24, 25, 44.9, 45, 60, np.nan]), (25, 45, 60))
    assert list(found) == ["under 25", "25-44", "25-44", "45-59", "60 and over", ""]
