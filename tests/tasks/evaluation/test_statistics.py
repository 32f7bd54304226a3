"""Intervals have their nominal coverage, and paired tests match their definitions."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tasks.evaluation import statistics


def test_a_proportion_gets_wilsons_interval() -> None:
    interval = statistics.wilson(81, 263)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.30798, 0.25529, 0.36621), abs=1e-4)


def test_the_interval_of_a_proportion_of_1_has_a_width() -> None:
    interval = statistics.wilson(750, 750)
    assert interval.high == pytest.approx(1.0)
    assert 0.99 < interval.low < 0.9951


def test_binary_rows_get_wilsons_interval_and_others_a_bootstrap() -> None:
    assert statistics.mean_interval([0, 1, 1, 1]).method == "Wilson score"
    assert statistics.mean_interval([0.2, 1, 1, 1]).method == "bootstrap of rows"


def test_a_bootstrap_is_reproducible_and_close_to_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 1000)
    low, high = statistics.bootstrap(values)
    assert (low, high) == statistics.bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_a_bootstrap_in_blocks_is_as_wide_as_in_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    whole = statistics.bootstrap(values)
    monkeypatch.setattr(statistics, "BLOCK_NUMBERS", 10_000)
    assert statistics.bootstrap(values) == pytest.approx(whole, abs=0.02)


def test_the_paired_interval_solves_tangos_equation() -> None:
    """Against the definition, by search over a grid: the differences that a score test at 5 % would not reject."""

    def score(lost: Any, won: Any, rows: Any, difference: Any) -> Any:
        shares = np.linspace(max(0.0, -difference), (1 - difference) / 2, 20_001)[1:-1]  # of rows won
        likelihood = (
            won * np.log(shares) + lost * np.log(shares + difference) + (rows - lost - won) * np.log(1 - 2 * shares - difference)
        )
        best = shares[likelihood.argmax()]
        return (lost - won - rows * difference) / np.sqrt(rows * (2 * best + difference * (1 - difference)))

    for lost, won, rows in ((12, 5, 100), (3, 1, 750), (9, 20, 60)):
        interval = statistics.tango(lost, won, rows)
        assert score(lost, won, rows, interval.low) == pytest.approx(1.96, abs=0.01)
        assert score(lost, won, rows, interval.high) == pytest.approx(-1.96, abs=0.01)


def test_the_bound_of_a_drop_is_positive_when_no_row_changed() -> None:
    interval = statistics.paired_drop(np.ones(750), np.ones(750), statistics.one_sided())
    assert interval.value == 0
    assert 0.003 < interval.high < 0.004


def test_paired_intervals_have_their_nominal_coverage() -> None:
    generator = np.random.default_rng(0)
    draws = generator.multinomial(300, [0.03, 0.015, 0.955], 400)
    inside = [interval.low <= 0.015 <= interval.high for interval in (statistics.tango(lost, won, 300) for lost, won, _ in draws)]
    assert 0.92 <= np.mean(inside) <= 0.98


def test_a_paired_drop_of_other_values_has_a_narrow_interval() -> None:
    before = np.random.default_rng(0).normal(0, 1, 500)
    after = before - 0.01
    interval = statistics.paired_drop(before, after)
    assert interval.method == "paired bootstrap"
    assert (interval.low, interval.high) == pytest.approx((0.01, 0.01), abs=1e-9)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert statistics.mcnemar(0, 0) == 1
    assert statistics.mcnemar(1, 0) == 1
    assert statistics.mcnemar(10, 1) == pytest.approx(2 * 12 / 2**11)
    assert statistics.mcnemar(10, 1) == statistics.mcnemar(1, 10)


def test_a_ratio_is_taken_round_by_round_so_a_slow_round_cancels_out() -> None:
    base = np.array([1.0, 1.1, 10.0, 1.0, 0.9])
    interval = statistics.ratio_interval(base, base / 2)
    assert (interval.value, interval.low, interval.high) == (2, 2, 2)


def test_values_of_different_rows_are_not_paired() -> None:
    with pytest.raises(ValueError, match="3 and 2 values cannot be paired"):
        statistics.paired_drop([1, 0, 1], [1, 0])


def test_the_interval_of_a_geometric_mean_is_students_t_on_logarithms() -> None:
    interval = statistics.log_t_interval([1.0, 4.0])
    assert interval.value == pytest.approx(2.0)
    half = 12.7062047 * np.log(4) / 2
    assert (interval.low, interval.high) == pytest.approx((2 * np.exp(-half), 2 * np.exp(half)))
    assert interval.rows == 2


@pytest.mark.parametrize("values", [[1.0], [1.0, 0.0], []])
def test_one_value_or_a_time_of_0_has_no_interval_over_processes(values: Any) -> None:
    with pytest.raises(ValueError, match="needs two values or more, all above 0"):
        statistics.log_t_interval(values)


def test_the_p_value_over_processes_is_that_of_a_t_test_and_agrees_with_the_bound() -> None:
    ratios = [2.1, 2.3, 1.9, 2.2, 2.0, 2.4]
    for required in (1.5, 1.95, 2.0, 2.5):
        p = statistics.log_t_p_value(ratios, required, "above")
        assert p == pytest.approx(stats.ttest_1samp(np.log(ratios), np.log(required), alternative="greater").pvalue)
        assert statistics.log_t_p_value(ratios, required, "below") == pytest.approx(1 - p)
        assert (p <= 0.05) == (statistics.log_t_interval(ratios, statistics.one_sided()).low >= required)


def test_equal_values_decide_without_doubt() -> None:
    assert statistics.log_t_p_value([2.0, 2.0], 1.5, "above") == 0.0
    assert statistics.log_t_p_value([2.0, 2.0], 1.5, "below") == 1.0


def test_the_bound_over_processes_keeps_its_error_rate() -> None:
    draws = np.random.default_rng(0).lognormal(np.log(2), 0.15, (2000, 6))
    wrong = np.mean([statistics.log_t_p_value(ratios, 2.0, "above") <= 0.05 for ratios in draws])
    assert 0.035 < wrong < 0.065


def test_the_paired_p_value_is_that_of_the_exact_mcnemar_test_or_of_students_t() -> None:
    old, new = np.array([1, 1, 1, 1, 0, 1, 0, 1.0]), np.array([0, 0, 0, 0, 1, 1, 0, 1.0])
    assert statistics.paired_p_value(old, new) == pytest.approx(stats.binomtest(4, 5, alternative="greater").pvalue)
    assert statistics.paired_p_value(old, old) == 1.0
    before, after = np.random.default_rng(1).normal(0, 1, (2, 50))
    expected = stats.ttest_rel(before, after, alternative="greater").pvalue
    assert statistics.paired_p_value(before, after) == pytest.approx(expected)
    assert statistics.paired_p_value(before, before) == 1.0
    assert statistics.paired_p_value(before, before - 1) == pytest.approx(0.0)


def test_holm_multiplies_each_p_value_by_the_number_of_those_not_smaller() -> None:
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []
