"""A verdict is one sentence that begins with its word, and says what is missing."""

import pytest

from tasks.core.settings import Contract
from tasks.release.decision import as_json, decide
from tasks.release.sentences import describe, round_up
from tests.tasks.release.test_decision import CONTRACT, ROWS, candidate


def test_a_release_says_what_was_shown() -> None:
    outcome = decide([candidate(lost=2, won=1, cost=0.01), candidate("int4", cost=0.02)], CONTRACT, ROWS)
    words = describe(outcome, "accuracy")
    assert words["reason"] == (
        "released 'int8': on 2,000 test rows it loses 0.0005 of accuracy, with 97.5 % confidence at most "
        "0.0032 lost "
        "(0.0100 is allowed), is 4.01 times as fast as dense and has 0.100 of its bytes; 1 more keeps the contract and costs more"
    )
    assert words["int8"] == {"misses": [], "why": "chosen: it keeps the contract at the least cost (bytes times time)"}
    assert words["int4"]["why"] == "keeps the contract, but costs 2.00 times what 'int8' does (bytes times time)"


def test_a_refusal_names_the_nearest_and_the_term_it_breaks() -> None:
    outcome = decide([candidate("far", lost=90, share=0.9), candidate("near", lost=60, won=0)], CONTRACT, ROWS)
    assert describe(outcome, "accuracy")["reason"].startswith(
        "refused: each of the 2 candidates is shown to break the contract; nearest, 'near' loses 0.0300 of accuracy on "
        "2,000 test rows, with 95 % confidence at most "
    )


def test_an_open_verdict_says_how_many_more_rows_would_do() -> None:
    outcome = decide([candidate(lost=3, won=1, rows=300, validation=(1, 1))], CONTRACT, 300)
    reason = describe(outcome, "accuracy")["reason"]
    assert reason.startswith(
        "inconclusive: no candidate is shown to keep the contract; nearest, 'int8' loses 0.0067 of accuracy on"
    )
    assert reason.endswith("more test rows would show it, if it stays as measured")


def test_more_rows_are_not_promised_to_help_a_model_beyond_the_margin() -> None:
    outcome = decide([candidate(lost=6, won=1, rows=300, validation=(1, 1))], CONTRACT, 300)
    assert describe(outcome, "accuracy")["reason"].endswith("more rows alone are no help")


def test_a_negative_drop_is_said_to_be_a_gain() -> None:
    outcome = decide([candidate(lost=1, won=3, rows=300, validation=(1, 1))], CONTRACT, 300)
    assert "it gains 0.0067 of accuracy, with 95 % confidence at most 0.0059 lost" in describe(outcome, "accuracy")["reason"]


def test_a_bound_below_zero_is_a_gain_that_is_shown() -> None:
    outcome = decide([candidate(lost=1, won=40)], CONTRACT, ROWS)
    assert (
        "it gains 0.0195 of accuracy, with 95 % confidence at least 0.0148 gained (0.0100 is allowed)"
        in describe(outcome, "accuracy")["reason"]
    )


def test_a_term_of_time_asks_for_processes() -> None:
    outcome = decide([candidate(ratios=(1.7, 3.0, 2.2, 2.9, 1.9))], CONTRACT, ROWS)
    assert "processes of timing would show it" in describe(outcome, "accuracy")["reason"]


def test_what_validation_ruled_out_is_said() -> None:
    outcome = decide([candidate("big", excluded="it has more bytes than allowed"), candidate()], CONTRACT, ROWS)
    assert describe(outcome, "accuracy")["big"]["why"].startswith("not tried on test rows: it has more bytes than allowed")


def test_without_candidates_the_sentence_says_what_to_add() -> None:
    assert describe(decide([], Contract(), 0), "accuracy")["reason"] == (
        "refused: there is no candidate besides dense; add a recipe to params.yaml"
    )


@pytest.mark.parametrize(("count", "rounded"), [(7, 7), (68, 68), (683, 690), (12_345, 13_000)])
def test_an_estimated_count_has_two_digits(count: int, rounded: int) -> None:
    assert round_up(count) == rounded


def test_the_verdict_as_json_holds_every_term_with_its_bound() -> None:
    outcome = decide([candidate()], CONTRACT, ROWS)
    verdict = as_json(outcome, describe(outcome, "accuracy"))
    assert verdict["verdict"] == "released"
    term = verdict["candidates"][0]["terms"]["max_drop"]
    assert set(term) == {"allowed", "value", "bound", "level", "p", "status", "needs"}
    assert term["bound"] <= term["allowed"]
    assert verdict["contract"]["beats"] == "baseline"
