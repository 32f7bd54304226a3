"""Temperature and conformal threshold are fitted on validation rows and hold on others."""

from typing import Any

import numpy as np
import pytest

from tasks.metrics import calibration, uncertainty


def labelled_logits(rows: int, classes: int, seed: int) -> tuple[Any, Any]:
    """Calibrated logits (N, K), and targets (N,) drawn from their probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, classes))
    probabilities = uncertainty.probabilities_of(logits, "classes")
    targets = (generator.random((rows, 1)) > probabilities.cumsum(1)[:, :-1]).sum(1)
    return logits, targets


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_the_factor_that_made_logits_over_or_underconfident(factor: float) -> None:
    logits, targets = labelled_logits(20_000, 5, seed=0)
    assert calibration.fit_temperature(factor * logits, targets, "classes") == pytest.approx(factor, rel=0.04)


def test_the_temperature_of_an_overconfident_model_improves_the_log_loss_of_other_rows() -> None:
    logits, targets = labelled_logits(4_000, 4, seed=1)
    temperature = calibration.fit_temperature(3 * logits[:2000], targets[:2000], "classes")
    before = calibration.log_loss(3 * logits[2000:], targets[2000:], "classes")
    after = calibration.log_loss(3 * logits[2000:] / temperature, targets[2000:], "classes")
    assert after < 0.7 * before


def test_members_of_an_ensemble_share_the_temperature_of_their_mean() -> None:
    logits, targets = labelled_logits(3_000, 3, seed=2)
    noise = np.random.default_rng(3).normal(0, 1, logits.shape)
    members = np.stack([2 * logits + noise, 2 * logits - noise], 1)
    expected = calibration.fit_temperature(2 * logits, targets, "classes")
    assert calibration.fit_temperature(members, targets, "classes") == pytest.approx(expected)


def test_log_odds_are_scaled_around_the_decision_and_so_keep_it() -> None:
    generator = np.random.default_rng(4)
    odds, pivot = generator.normal(-1, 1.5, (20_000, 1)), -1.5
    targets = (generator.random(20_000) < 1 / (1 + np.exp(-odds[:, 0]))).astype(np.float32)
    stretched = pivot + 2.5 * (odds - pivot)
    temperature = calibration.fit_temperature(stretched, targets, "event", pivot)
    assert temperature == pytest.approx(2.5, rel=0.04)
    assert np.array_equal(pivot + (stretched - pivot) / temperature >= pivot, stretched >= pivot)


def test_rows_that_are_all_right_do_not_make_the_model_certain() -> None:
    logits = 4 * np.eye(3)[np.arange(60) % 3]
    temperature = calibration.fit_temperature(logits, np.arange(60) % 3, "classes")
    assert uncertainty.probabilities_of(logits / temperature, "classes").max() < 0.999


def test_the_temperature_is_one_where_another_would_be_worse() -> None:
    targets = np.zeros(50, np.int64)
    certain = np.tile([30.0, 0.0], (50, 1))
    assert calibration.fit_temperature(certain, targets, "classes") == 1.0


def test_conformal_sets_hold_the_true_class_of_the_promised_share_of_exchangeable_rows() -> None:
    coverages = []
    for seed in range(20):
        logits, targets = labelled_logits(3_000, 6, seed)
        fitted = calibration.fit_conformal(logits[:1000], targets[:1000], "classes", 0.9)
        sets = 1 - uncertainty.probabilities_of(logits[1000:], "classes") <= fitted["threshold"]
        coverages.append(sets[np.arange(2000), targets[1000:]].mean())
    spread = (0.09 / 1000 + 0.09 / 2000) ** 0.5
    assert abs(np.mean(coverages) - 0.9) < 3 * spread / 20**0.5
    assert np.max(np.abs(np.array(coverages) - 0.9)) < 4 * spread


def test_too_few_rows_promise_nothing_and_every_set_holds_all_classes() -> None:
    logits, targets = labelled_logits(8, 3, seed=5)
    assert calibration.fit_conformal(logits, targets, "classes", 0.9) == {"coverage": 0.9, "threshold": 1.0, "rows": 8}
