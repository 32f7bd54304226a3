"""Metrics of predicted probabilities: ranking, calibration, cost and fairness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tasks.metrics import binary_classification


@pytest.fixture(scope="module")
def predictions() -> Any:
    numbers = np.random.default_rng(3)
    probability = np.round(numbers.beta(1, 4, 900), 2)  # ties among them
    return (numbers.random(900) < probability).astype(float), probability


def test_the_area_brier_score_and_log_loss_are_those_of_scikit_learn(predictions: Any) -> None:
    target, probability = predictions
    scores = binary_classification.metrics(target, probability)
    assert scores["auc"] == pytest.approx(roc_auc_score(target, probability), abs=1e-12)
    assert scores["brier"] == pytest.approx(brier_score_loss(target, probability), abs=1e-12)
    held = np.clip(probability, binary_classification.MIN_PROBABILITY, 1 - binary_classification.MIN_PROBABILITY)
    assert scores["log_loss"] == pytest.approx(log_loss(target, held), abs=1e-9)


def test_the_ks_statistic_is_the_one_of_scipy(predictions: Any) -> None:
    from scipy.stats import ks_2samp

    target, probability = predictions
    expected = ks_2samp(probability[target == 1], probability[target == 0]).statistic
    assert binary_classification.metrics(target, probability)["ks"] == pytest.approx(expected, abs=1e-12)


def test_row_values_have_the_area_as_mean_and_its_sampling_variance(predictions: Any) -> None:
    target, probability = predictions
    values = binary_classification.auc_components(target, probability)
    assert values.mean() == pytest.approx(roc_auc_score(target, probability), abs=1e-12)
    numbers = np.random.default_rng(0)
    draws = [numbers.integers(0, len(target), len(target)) for _ in range(400)]
    spread = np.std([roc_auc_score(target[rows], probability[rows]) for rows in draws])
    assert values.std() / len(values) ** 0.5 == pytest.approx(spread, rel=0.15)


def test_the_calibration_error_is_near_zero_for_true_probabilities_and_large_for_inflated_ones(predictions: Any) -> None:
    target, probability = predictions
    assert binary_classification.metrics(target, probability)["ece"] < 0.05
    assert binary_classification.metrics(target, np.clip(probability * 3, 0, 1))["ece"] > 0.2
    report = binary_classification.reliability(target, probability)
    assert sum(row["rows"] for row in report["bins"]) == len(target)


def test_refusing_at_the_optimal_threshold_is_cheaper_than_taking_or_refusing_all(predictions: Any) -> None:
    target, probability = predictions
    for row in binary_classification.cost_curve(target, probability):
        assert row["cost"] <= min(row["take_all"], row["refuse_all"]) + 0.02
        assert row["threshold"] == pytest.approx(1 / (1 + row["default_over_refusal"]))
    assert binary_classification.cost(target, probability, 0.0, 5, 1) == pytest.approx((target == 0).mean())


def test_fairness_counts_each_group_and_the_gap_between_them(predictions: Any) -> None:
    target, probability = predictions
    groups = np.where(np.arange(len(target)) % 3 == 0, "old", "young")
    groups[:5] = "few"
    report = binary_classification.fairness(target, probability, groups, 0.2)
    rows = {row["group"]: row for row in report["groups"]}
    assert set(rows) == {"old", "young"}, "a group of five rows is not reported"
    old = groups == "old"
    assert rows["old"]["rows"] == old.sum()
    assert rows["old"]["refused_good"] == pytest.approx((probability[old & (target == 0)] >= 0.2).mean())
    assert report["gaps"]["refused"] == pytest.approx(abs(rows["old"]["refused"] - rows["young"]["refused"]))


def test_rows_of_one_class_have_an_area_of_chance() -> None:
    scores = binary_classification.metrics(np.zeros(9), np.linspace(0, 1, 9))
    assert (scores["auc"], scores["ks"]) == (0.5, 0.0)


def test_a_bin_holds_its_lower_edge_and_a_missing_number_has_none() -> None:
    labels = binary_classification.bin_labels(pd.Series([24, 25, 44.9, 45, 60, np.nan]), (25, 45, 60))
    assert list(labels) == ["under 25", "25-44", "25-44", "45-59", "60 and over", ""]
