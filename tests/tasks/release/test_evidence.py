"""Each kind of evidence gives a bound and a p-value that agree, and says what would be needed."""

import numpy as np
import pytest

from tasks.release.evidence import Blockers, Counted, Estimated, Floor, LargestDrop, LargestGap, NotShownWorse, ProcessTimes
from tasks.release.paired_tests import BinaryDrop, paired_drop

RATIOS = (2.2, 2.3, 2.1, 2.25, 2.15)


def test_the_bound_of_a_speed_up_allows_for_the_spread_between_processes() -> None:
    term = ProcessTimes(2.0, RATIOS, at_least=True)
    assert term.value == pytest.approx(np.exp(np.mean(np.log(RATIOS))))
    assert 2.1 < term.bound(0.95) < term.value
    assert ProcessTimes(term.bound(0.95), RATIOS, at_least=True).p_value() == pytest.approx(0.05, abs=1e-6)
    wide = ProcessTimes(2.0, (1.5, 3.2, 2.0, 2.6, 1.9), at_least=True)
    assert wide.value > 2.0
    assert wide.p_value() > 0.05
    assert wide.needs(0.95)["processes"] > 5


def test_a_latency_is_bounded_from_above() -> None:
    term = ProcessTimes(0.1, (0.057, 0.091, 0.06, 0.07, 0.065), at_least=False)
    assert term.value < term.bound(0.95)
    assert ProcessTimes(term.bound(0.95), term.processes, at_least=False).p_value() == pytest.approx(0.05, abs=1e-6)
    assert ProcessTimes(0.01, term.processes, at_least=False).needs(0.95) == {}


def test_bytes_are_known_without_error() -> None:
    assert (Counted(0.3, 0.2).p_value(), Counted(0.3, 0.4).p_value()) == (0.0, 1.0)


def test_every_class_must_be_shown() -> None:
    good, bad = BinaryDrop(0, 0, 500), BinaryDrop(20, 0, 500)
    term = LargestDrop(0.02, (good, bad))
    assert term.p_value() == bad.p_value(0.02)
    assert term.bound(0.95) == bad.upper(0.95)
    assert LargestDrop(0.02, (good, BinaryDrop(0, 0, 100))).needs(0.95)["rows"] > 600


def test_a_floor_of_a_share_is_tested_exactly() -> None:
    rows = np.array([1.0] * 97 + [0.0] * 3)
    term = Floor(0.9, rows)
    assert term.value == 0.97
    assert term.p_value() == pytest.approx(0.0078, abs=1e-4)
    assert term.bound(0.95) > 0.9
    assert Floor(0.96, rows).p_value() > 0.05
    assert Floor(0.96, rows).needs(0.95)["rows"] > 1000
    assert Floor(0.98, rows).needs(0.95) == {}


def test_a_floor_is_a_ceiling_where_lower_is_better() -> None:
    rows = np.random.default_rng(0).normal(0.4, 0.1, 400)
    assert Floor(0.45, rows, higher_is_better=False).p_value() < 0.001
    assert Floor(0.35, rows, higher_is_better=False).p_value() > 0.999
    assert Floor(0.45, rows, higher_is_better=False).bound(0.95) > 0.4


def test_a_model_is_kept_unless_it_is_shown_worse() -> None:
    generator = np.random.default_rng(1)
    base = (generator.random(1000) < 0.9).astype(float)
    slightly, much = base.copy(), base.copy()
    slightly[:3] = 0
    much[:60] = 0
    for other, p in ((slightly, 0.0), (much, 1.0), (base, 0.0)):
        assert NotShownWorse(0.0, paired_drop(base, other), paired_drop(other, base)).p_value() == p


def test_a_gap_between_groups_counts_the_worst_pair() -> None:
    same, worse = np.array([1.0] * 90 + [0.0] * 10), np.array([1.0] * 70 + [0.0] * 30)
    term = LargestGap(0.1, ((same, same), (same, worse)))
    assert term.value == pytest.approx(0.2)
    assert term.p_value() > 0.9
    assert LargestGap(0.15, ((same, same),)).p_value() < 0.01
    assert LargestGap(0.1, ()).p_value() == 0.0


def test_a_blocker_forbids_whatever_the_scores_are() -> None:
    assert Blockers(("its 1% quantile is undercut too often",)).p_value() == 1.0


def test_an_estimated_drop_uses_its_standard_error() -> None:
    assert Estimated(0.02, 0.01, 0.004).p_value() == pytest.approx(0.0062, abs=1e-4)
    assert Estimated(0.02, 0.03, 0.0).p_value() == 1.0
