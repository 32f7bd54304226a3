"""The bound and the p-value of a drop belong together, and their error rate is what they claim."""

import numpy as np
import pytest

from tasks.evaluation import statistics
from tasks.release.paired_tests import BinaryDrop, paired_drop

LEVELS = (0.9, 0.95, 0.99)


def binary(lost: int, won: int, rows: int) -> BinaryDrop:
    return BinaryDrop(lost, won, rows)


@pytest.mark.parametrize("level", LEVELS)
def test_the_p_value_at_the_bound_is_one_minus_the_level(level: float) -> None:
    drop = binary(5, 2, 400)
    assert drop.p_value(drop.upper(level)) == pytest.approx(1 - level, abs=1e-6)
    differences = np.random.default_rng(0).normal(0.01, 0.1, 300)
    resampled = paired_drop(differences, np.zeros(300))
    assert resampled.p_value(resampled.upper(level)) == pytest.approx(1 - level, abs=1e-3)


def test_zeros_and_ones_are_tested_by_tangos_score() -> None:
    before, after = np.array([1.0] * 96 + [0.0] * 4), np.array([1.0] * 94 + [0.0] * 3 + [1.0] * 3)
    drop = paired_drop(before, after)
    assert isinstance(drop, BinaryDrop)
    assert (drop.lost, drop.won, drop.rows) == (2, 3, 100)
    assert drop.upper(0.95) == statistics.tango(2, 3, 100, 0.9).high


def test_no_changed_row_still_leaves_room_for_a_drop() -> None:
    assert binary(0, 0, 750).upper(0.95) == pytest.approx(0.0036, abs=1e-4)
    assert binary(0, 0, 750).p_value(0.0036) == pytest.approx(0.05, abs=1e-3)
    same = paired_drop(np.linspace(0, 1, 200), np.linspace(0, 1, 200))
    assert same.value == 0.0
    assert same.upper(0.95) == pytest.approx(1.6449 / 200, rel=1e-2)


@pytest.mark.parametrize(("rows", "margin"), [(150, 0.02), (1000, 0.01)])
def test_a_model_at_the_margin_is_wrongly_accepted_about_as_often_as_the_level_says(rows: int, margin: float) -> None:
    draws = np.random.default_rng(1).multinomial(rows, [margin + 0.01, 0.01, 0.98 - margin], size=2000)
    accepted = np.mean([binary(int(lost), int(won), rows).p_value(margin) <= 0.05 for lost, won, _ in draws])
    assert accepted <= 0.06


def test_skewed_differences_are_not_accepted_much_more_often_than_the_level_says() -> None:
    generator = np.random.default_rng(2)
    drops = [paired_drop(generator.lognormal(0, 1, 150) - np.exp(0.5), np.zeros(150)) for _ in range(300)]
    assert np.mean([drop.p_value(0.0) <= 0.05 for drop in drops]) <= 0.09


def test_rows_that_share_a_day_count_as_one_observation() -> None:
    days = np.repeat(np.arange(200), 10)
    differences = np.repeat(np.random.default_rng(3).normal(size=200), 10)
    together = paired_drop(differences, np.zeros(2000), days)
    apart = paired_drop(differences, np.zeros(2000))
    assert together.value == apart.value
    assert together.upper(0.95) - together.value > 2 * (apart.upper(0.95) - apart.value)
    assert "200 points in time" in together.method


def test_the_rows_needed_show_the_drop_with_the_promised_power() -> None:
    drop = binary(8, 8, 800)
    needed = drop.rows_needed(0.01, 0.95)
    assert needed is not None
    draws = np.random.default_rng(4).multinomial(needed, [0.01, 0.01, 0.98], size=1000)
    shown = np.mean([binary(int(lost), int(won), needed).p_value(0.01) <= 0.05 for lost, won, _ in draws])
    assert 0.72 <= shown <= 0.92


def test_more_rows_are_no_help_against_a_drop_beyond_the_margin() -> None:
    assert binary(20, 2, 400).rows_needed(0.01, 0.95) is None


def test_too_few_rows_have_no_power_whatever_happens() -> None:
    assert binary(0, 0, 1000).assurance(0.01, 0.95, 150) == 0.0


def test_the_assurance_allows_for_the_error_of_what_was_measured() -> None:
    few, many = binary(1, 1, 100), binary(100, 100, 10_000)
    assert few.assurance(0.02, 0.95, 1000) < many.assurance(0.02, 0.95, 1000)
    assert many.assurance(0.02, 0.95, 1000) > 0.9
    assert binary(300, 100, 10_000).assurance(0.02, 0.95, 10**9) == pytest.approx(0.5, abs=0.02)


def test_values_of_different_rows_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="3 and 2 values cannot be paired"):
        paired_drop(np.ones(3), np.ones(2))
