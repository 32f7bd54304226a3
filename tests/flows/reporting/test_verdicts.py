"""The verdict of a run is read from its record: one word, one sentence and an exit code for each use case."""

from __future__ import annotations

from typing import Any

import pytest

from flows.reporting import verdicts
from flows.reporting.verdict_table import candidate_cells
from tasks.release.sentences import round_up
from tests.support import release_verdicts


def record(*names: str, **more: Any) -> dict[str, Any]:
    """The record of a completed run with these verdicts, of the use cases `a`, `b` and so on."""
    results = {use_case: release_verdicts.release(name) for use_case, name in zip("abc", names, strict=False)}
    return {"state": "Completed", "error": "", "use_cases": list(results), "stages": {}, "results": results, **more}


@pytest.mark.parametrize("name", release_verdicts.WORDS)
def test_a_verdict_has_its_word_and_a_sentence(name: str) -> None:
    (verdict,) = verdicts.of_record(record(name))
    assert verdict.word == release_verdicts.WORDS[name]
    assert verdict.sentence in release_verdicts.VERDICTS[name]["reason"]
    assert "nothing released" not in verdict.sentence
    assert verdict.line.count(verdict.word) == 1
    assert (verdict.released == "int8") == (verdict.word == "released")


@pytest.mark.parametrize(
    ("names", "word", "code"),
    [
        (("released", "old release"), "released", 0),
        (("released", "inconclusive"), "inconclusive", 4),
        (("inconclusive", "refused", "released"), "refused", 3),
    ],
)
def test_the_most_severe_verdict_is_the_runs(names: tuple[str, ...], word: str, code: int) -> None:
    found = verdicts.of_record(record(*names))
    assert verdicts.overall(found) == word
    assert verdicts.exit_code(found, "Completed") == code


def test_a_run_whose_stage_failed_is_an_error_with_the_stages_sentence() -> None:
    stages = {
        "train@a": {"state": "Failed", "error": "the loss is not finite"},
        "release@a": {"state": "NotRun", "error": "needs train@a"},
        "train@b": {"state": "Completed", "error": ""},
    }
    both = record("released", "released", state="Failed", stages=stages, error="train@a: the loss is not finite")
    del both["results"]["a"]
    found = verdicts.of_record(both)
    assert [each.word for each in found] == ["error", "released"]
    assert found[0].line == "error: train@a failed: the loss is not finite"
    assert verdicts.exit_code(found, "Failed") == 1
    assert verdicts.summary(found) == "a error, b released"
    assert verdicts.released_names(found) == "b int8"


def test_a_run_that_ended_without_a_release_is_an_error_and_one_that_did_not_end_has_no_verdict() -> None:
    bare = record("released", results={}, use_cases=["a"])
    assert verdicts.of_record(bare)[0].line == "error: the run ended without a release artifact"
    assert verdicts.of_record({**bare, "state": "Running"}, "Crashed")[0].word == "error"
    for state in ("Cancelled", "Running", "Pending"):
        (none,) = verdicts.of_record(record("released", state=state))
        assert (none.word, none.released) == ("", None)
        assert verdicts.summary([none]) == verdicts.released_names([none]) == ""
    assert verdicts.exit_code([none], "Cancelled") == 130


def test_an_inconclusive_verdict_names_the_nearest_candidate_and_what_it_needs() -> None:
    (verdict,) = verdicts.of_record(record("inconclusive"))
    assert verdict.nearest
    assert verdict.nearest.recipe == "pruned"
    assert verdict.needs == "about 700 more test rows"
    assert round_up(1234) == 1300
    nearest = release_verdicts.VERDICTS["inconclusive"]["candidates"][1]
    timed = {
        "verdict": "inconclusive",
        "candidates": [nearest | {"needs": {"rows": 900, "processes": 12}}],
        "decision": {"rows": 900},
    }
    assert verdicts.parse("a", timed).needs == "12 processes of timing", "the rows are enough"
    assert verdicts.of_record(record("released"))[0].nearest is None


def test_terms_are_read_from_new_and_old_files() -> None:
    (new,), (old,) = verdicts.of_record(record("inconclusive")), verdicts.of_record(record("old release"))
    cells = candidate_cells(new.candidates[1])
    assert cells[0] == ("pruned", "", "", "", "", "0.2200", "not shown")
    assert cells[1] == ("", "max_drop", "0.0040", "0.0125", "0.0100", "0.1100", "not shown")
    assert cells[3] == ("", "beats", "0.0300", "0.0200", "baseline", "", "kept")
    assert candidate_cells(new.candidates[2])[0][0] == "logistic (classic)"
    assert old.candidates[0].terms[0].bound == 0.004


def test_values_of_another_shape_do_not_break_the_reader() -> None:
    broken = {"verdict": "splendid", "released": None, "reason": None, "candidates": [3, {"terms": [1]}], "decision": "x"}
    (verdict,) = verdicts.of_record({"state": "Completed", "use_cases": ["a"], "results": {"a": {"verdict": broken}}})
    assert (verdict.word, verdict.sentence) == ("refused", "")
    assert verdicts.of_record({"state": "Completed", "use_cases": ["a"], "results": {"a": "x"}})[0].word == "error"


def test_a_term_of_an_older_file_has_the_name_it_has_now() -> None:
    content = {"released": None, "candidates": [{"recipe": "int8", "terms": {"objections": {"allowed": 0, "value": 1}}}]}
    assert [term.name for term in verdicts.parse("finance", content).candidates[0].terms] == ["blockers"]
