"""Champion against challenger: wrong decisions are as rare as promised, right ones come, and the interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from tasks.monitoring.paired import compare, confidence_sequence

ALPHA = 0.05


def answers(generator: np.random.Generator, rows: int, champion: float, challenger: float) -> tuple[np.ndarray, np.ndarray]:
    return generator.random(rows) < champion, generator.random(rows) < challenger


def test_the_evidence_is_the_mixture_of_bets_on_the_rows_on_which_one_is_right() -> None:
    champion = np.array([True, False, False, True, False, False])
    challenger = np.array([True, True, True, False, True, False])
    found = compare(champion, challenger, ALPHA)
    assert (found.rows, found.gained, found.lost) == (6, 3, 1)
    integral = max(
        quad(lambda bet, wins=wins, losses=losses: (1 + bet) ** wins * (1 - bet) ** losses, 0, 1)[0]
        for wins, losses in ((1, 0), (2, 0), (2, 1), (3, 1))
    )
    assert np.exp(found.better) == pytest.approx(integral)
    assert found.difference == pytest.approx(2 / 6)


def test_models_that_are_as_good_are_told_apart_as_rarely_as_promised_at_any_time() -> None:
    generator, wrong = np.random.default_rng(1), 0
    for _ in range(400):
        right, other = answers(generator, 400, 0.8, 0.8)
        x = other.astype(int) - right.astype(int)
        wins, losses = np.cumsum(x > 0), np.cumsum(x < 0)
        assert wins[-1] + losses[-1] == (x != 0).sum()
        wrong += compare(right, other, 0.5).better >= np.log(1 / ALPHA)
    assert wrong / 400 <= ALPHA


def test_a_better_challenger_is_found_and_the_interval_leaves_out_zero() -> None:
    right, other = answers(np.random.default_rng(2), 1500, 0.80, 0.88)
    found = compare(right, other, ALPHA)
    assert found.better >= np.log(1 / ALPHA)
    assert found.worse < np.log(1 / ALPHA)
    assert 0 < found.low < 0.08 < found.high


def test_the_interval_holds_the_mean_at_all_times_and_shrinks() -> None:
    generator, missed = np.random.default_rng(3), 0
    for _ in range(30):
        x = generator.choice([-1.0, 0.0, 1.0], 600, p=[0.1, 0.7, 0.2])
        low, high = confidence_sequence(x, ALPHA)
        missed += not low <= 0.1 <= high
    assert missed <= 4
    assert high - low < 0.2
    assert confidence_sequence(np.zeros(0), ALPHA) == (-1.0, 1.0)


def test_values_whose_mean_changed_get_no_interval_that_claims_to_know_it() -> None:
    x = np.concatenate([np.ones(300), -np.ones(270)])
    assert confidence_sequence(x, ALPHA) == (-1.0, 1.0)
