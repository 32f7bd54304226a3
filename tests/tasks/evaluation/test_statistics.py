"""Intervals hold the truth as often as they say, and a paired test is the textbook's."""

import numpy as np
import pytest

from tasks.evaluation import statistics


def test_a_share_gets_wilsons_interval():
    found = statistics.wilson(81, 263)
    assert (found.value, found.low, found.high) == pytest.approx((0.30798, 0.25529, 0.36621), abs=1e-4)


def test_a_share_of_one_is_not_certain():
    found = statistics.wilson(750, 750)
    assert found.high == pytest.approx(1.0)
    assert 0.99 < found.low < 0.9951


def test_right_and_wrong_rows_get_wilson_and_others_a_bootstrap():
    assert statistics.mean_interval([0, 1, 1, 1]).method == "Wilson score"
    assert statistics.mean_interval([0.2, 1, 1, 1]).method == "bootstrap of rows"


def test_a_bootstrap_says_the_same_each_time_and_about_what_theory_says():
    values = np.random.default_rng(0).normal(5, 2, 1000)
    low, high = statistics.bootstrap(values)
    assert (low, high) == statistics.bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_a_bootstrap_in_blocks_is_as_wide_as_one_in_a_piece(monkeypatch):
    values = np.random.default_rng(0).normal(0, 1, 400)
    whole = statistics.bootstrap(values)
    monkeypatch.setattr(statistics, "BLOCK_NUMBERS", 10_000)
    assert statistics.bootstrap(values) == pytest.approx(whole, abs=0.02)


def test_the_paired_interval_solves_tangos_equation():
    """Against the definition, by search over a grid: the differences that a score test at 5 % would not reject."""

    def score(lost, won, rows, difference):
        shares = np.linspace(max(0.0, -difference), (1 - difference) / 2, 20_001)[1:-1]  # of rows won
        likelihood = (
            won * np.log(shares) + lost * np.log(shares + difference) + (rows - lost - won) * np.log(1 - 2 * shares - difference)
        )
        best = shares[likelihood.argmax()]
        return (lost - won - rows * difference) / np.sqrt(rows * (2 * best + difference * (1 - difference)))

    for lost, won, rows in ((12, 5, 100), (3, 1, 750), (9, 20, 60)):
        found = statistics.tango(lost, won, rows)
        assert score(lost, won, rows, found.low) == pytest.approx(1.96, abs=0.01)
        assert score(lost, won, rows, found.high) == pytest.approx(-1.96, abs=0.01)


def test_no_changed_row_is_no_proof_of_no_change():
    found = statistics.paired_drop(np.ones(750), np.ones(750), statistics.one_sided())
    assert found.value == 0
    assert 0.003 < found.high < 0.004


def test_paired_intervals_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    draws = generator.multinomial(300, [0.03, 0.015, 0.955], 400)
    inside = [found.low <= 0.015 <= found.high for found in (statistics.tango(lost, won, 300) for lost, won, _ in draws)]
    assert 0.92 <= np.mean(inside) <= 0.98


def test_a_paired_drop_of_other_values_is_far_surer_than_an_unpaired_one():
    before = np.random.default_rng(0).normal(0, 1, 500)
    after = before - 0.01
    found = statistics.paired_drop(before, after)
    assert found.method == "paired bootstrap"
    assert (found.low, found.high) == pytest.approx((0.01, 0.01), abs=1e-9)


def test_mcnemar_is_the_exact_binomial_test():
    assert statistics.mcnemar(0, 0) == 1
    assert statistics.mcnemar(1, 0) == 1
    assert statistics.mcnemar(10, 1) == pytest.approx(2 * 12 / 2**11)
    assert statistics.mcnemar(10, 1) == statistics.mcnemar(1, 10)


def test_a_ratio_is_taken_round_by_round_so_a_slow_round_falls_out():
    base = np.array([1.0, 1.1, 10.0, 1.0, 0.9])
    found = statistics.ratio_interval(base, base / 2)
    assert (found.value, found.low, found.high) == (2, 2, 2)


def test_values_of_different_rows_are_not_paired():
    with pytest.raises(ValueError, match="3 and 2 values cannot be paired"):
        statistics.paired_drop([1, 0, 1], [1, 0])
