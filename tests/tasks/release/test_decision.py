"""Validation chooses what is tried, test rows decide, and the number tried costs what it must."""

from typing import Any

import pytest

from tasks.core.settings import Contract
from tasks.release import decision
from tasks.release.decision import Candidate, decide
from tasks.release.evidence import Counted, Drop, ProcessTimes
from tasks.release.paired_tests import BinaryDrop

CONTRACT = Contract(max_drop=0.01, min_speedup=2.0, max_size_share=0.15)
ROWS = 2000


def candidate(
    name: str = "int8",
    *,
    lost: int = 4,
    won: int = 4,
    rows: int = ROWS,
    validation: tuple[int, int] | None = None,
    share: float = 0.1,
    ratios: Any = (4.0, 4.1, 3.9, 4.0, 4.05),
    cost: float | None = None,
    score: float = 0.99,
    excluded: str = "",
) -> Candidate:
    return Candidate(
        name=name,
        kind="recipe",
        cost=share / 4 if cost is None else cost,
        score=score,
        terms={
            "max_drop": Drop(CONTRACT.max_drop, BinaryDrop(lost, won, rows)),
            "min_speedup": ProcessTimes(CONTRACT.min_speedup, tuple(ratios), at_least=True),
            "max_size_share": Counted(CONTRACT.max_size_share, share),
        },
        validation_drop=BinaryDrop(*(validation or (lost, won)), rows),
        excluded=excluded,
    )


def test_a_candidate_whose_terms_are_all_shown_is_released() -> None:
    outcome = decide([candidate()], CONTRACT, ROWS)
    assert outcome.verdict == "released"
    assert outcome.released is not None
    assert outcome.released.name == "int8"


def test_a_candidate_that_breaks_a_term_beyond_doubt_is_refused() -> None:
    for change in ({"lost": 80, "won": 2}, {"share": 0.2}, {"ratios": (1.5, 1.51, 1.49, 1.5, 1.5)}):
        outcome = decide([candidate(**change)], CONTRACT, ROWS)
        assert outcome.verdict == "refused"
        assert outcome.released is None


def test_what_is_shown_neither_way_is_inconclusive_and_names_the_rows_needed() -> None:
    outcome = decide([candidate(lost=3, won=1, rows=300, validation=(1, 1))], CONTRACT, 300)
    assert outcome.verdict == "inconclusive"
    (only,) = outcome.candidates
    assert only.status == "not shown"
    assert only.missed == ["max_drop"]
    assert 300 < only.needs()["rows"] < 10_000


def test_one_undecided_candidate_keeps_the_verdict_open() -> None:
    outcome = decide([candidate("bad", lost=90, won=0), candidate("open", lost=20, won=8)], CONTRACT, ROWS)
    assert {each.name: each.status for each in outcome.candidates} == {"bad": "broken", "open": "not shown"}
    assert outcome.verdict == "inconclusive"


def test_the_candidate_of_least_cost_is_released_and_of_equal_costs_the_better_one() -> None:
    outcome = decide([candidate("small", cost=0.01), candidate("large", cost=0.02)], CONTRACT, ROWS)
    assert outcome.released
    assert outcome.released.name == "small"
    pair = [candidate("first", cost=0.0100, score=0.98), candidate("second", cost=0.0103, score=0.99)]
    outcome = decide(pair, CONTRACT, ROWS)
    assert outcome.released
    assert outcome.released.name == "second"


def test_each_candidate_tried_costs_confidence() -> None:
    """A drop that is shown for a single candidate is not shown for one of five that were tried."""
    alone = candidate(lost=16, won=6)
    assert decide([alone], CONTRACT, ROWS).verdict == "released"
    five = [candidate(f"c{number}", lost=16, won=6, validation=(2, 2)) for number in range(5)]
    outcome = decide(five, CONTRACT, ROWS)
    assert len(outcome.tried) == 5
    assert outcome.verdict == "inconclusive"
    assert outcome.candidates[0].adjusted_p == pytest.approx(5 * alone.p)


def test_a_candidate_after_the_one_at_which_holm_ends_says_what_it_misses() -> None:
    """Alone either would be shown; at the confidence that two leave, neither is."""
    first, second = candidate("first", lost=17, won=7), candidate("second", lost=17, won=7, cost=0.2)
    assert first.p == second.p
    assert 0.025 < first.p < 0.05
    outcome = decide([first, second], CONTRACT, ROWS)
    assert outcome.verdict == "inconclusive"
    assert [each.level for each in (first, second)] == [0.975, 0.975]
    assert [each.missed for each in (first, second)] == [["max_drop"], ["max_drop"]]


def test_holm_lets_a_later_candidate_pass_at_a_lower_price() -> None:
    sure, close = candidate("sure", lost=0, won=0, cost=0.05), candidate("close", lost=17, won=7, cost=0.01, validation=(2, 2))
    outcome = decide([sure, close], CONTRACT, ROWS)
    assert close.p > 0.025
    assert close.kept
    assert outcome.released is close


def test_validation_alone_chooses_what_is_tried() -> None:
    hopeless = candidate("hopeless", validation=(60, 1), cost=0.001)
    ruled_out = candidate("ruled out", cost=0.001, excluded="it has more bytes than allowed")
    outcome = decide([hopeless, ruled_out, candidate()], CONTRACT, ROWS)
    assert outcome.tried == ["int8"]
    assert not hopeless.kept, "its test rows would have kept the contract, but they were not what chose it"
    assert outcome.released
    assert outcome.released.name == "int8"


def test_few_rows_are_not_spent_on_many_candidates() -> None:
    many = [candidate(f"c{number}", lost=0, won=0, rows=350) for number in range(5)]
    assert len(decision.plan(many, 0.01, 350)) < 5
    assert len(decision.plan(many, 0.01, 5000)) == 5


def test_at_most_five_candidates_are_tried() -> None:
    outcome = decide([candidate(f"c{number}", cost=number + 1) for number in range(20)], CONTRACT, ROWS)
    assert outcome.tried == ["c0", "c1", "c2", "c3", "c4"]
    assert not outcome.candidates[7].tried


def test_without_a_candidate_nothing_is_released() -> None:
    assert decide([], CONTRACT, ROWS).verdict == "refused"
