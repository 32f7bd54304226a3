"""`bonsai verdict` says what a run decided, and ends with the code of that verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.reporting.console import ConsoleDisplay, stderr
from tasks.core.storage.artifacts import Artifact
from tasks.core.storage.atomic_files import write_json
from tests.support import release_verdicts
from tests.support.toy_project import SMALL, build_project, use_toy_registry

NEWEST = "20260103-000000-toy-cccc"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build_project(tmp_path / "toy", SMALL)
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def record(toy: Path, run_id: str, results: dict[str, Any], **more: Any) -> None:
    content = {"state": "Completed", "error": "", "use_cases": ["toy"], "stages": {}, "results": results, "overrides": {}}
    write_json(toy / "runs" / run_id / "run.json", {**content, "started_at": "", "ended_at": "", **more})


@pytest.mark.parametrize(
    ("name", "code"), [("released", 0), ("refused", 3), ("inconclusive", 4), ("old release", 0), ("old refusal", 3)]
)
def test_the_exit_code_is_that_of_the_verdict(toy: Path, bonsai: Any, name: str, code: int) -> None:
    record(toy, NEWEST, {"toy": release_verdicts.release(name)})
    word = release_verdicts.WORDS[name]
    ended, out, err = bonsai("verdict")
    assert (ended, err) == (code, "")
    assert out.splitlines()[0] == NEWEST
    assert out.splitlines()[1].startswith(f"toy: {word}")
    ended, out, err = bonsai("verdict", "cccc", "--json")
    answer = json.loads(out)
    assert (ended, err, answer["exit_code"], answer["verdict"]) == (code, "", code, word)
    assert answer["use_cases"]["toy"]["released"] == ("int8" if word == "released" else None)
    assert answer["use_cases"]["toy"]["candidates"][0]["recipe"] == "int8"
    _, listed, _ = bonsai("runs")
    assert word in listed
    assert ("int8" in listed) == (word == "released")


def test_an_inconclusive_verdict_prints_what_is_needed_and_every_term(toy: Path, bonsai: Any) -> None:
    record(toy, NEWEST, {"toy": release_verdicts.release("inconclusive")})
    _, out, _ = bonsai("verdict")
    assert "nearest: 'pruned'; about 700 more test rows would decide" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["max_drop", "0.0040", "0.0125", "0.0100", "0.1100", "not", "shown"] in lines
    assert any(line[:2] == ["logistic", "(classic)"] for line in lines)
    needed = json.loads(bonsai("verdict", "--json")[1])["use_cases"]["toy"]
    assert (needed["nearest"], needed["needs"]) == ("pruned", {"rows": 2200})


def test_a_failed_run_is_an_error_with_the_sentence_of_its_stage(toy: Path, bonsai: Any) -> None:
    stages = {"train@toy": {"state": "Failed", "error": "there are no rows"}}
    record(toy, NEWEST, {}, state="Failed", stages=stages, error="train@toy: there are no rows")
    code, out, _ = bonsai("verdict")
    assert code == 1
    assert "toy: error: train@toy failed: there are no rows" in out
    code, out, _ = bonsai("verdict", "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "error")


def test_one_use_case_of_several_decides_when_it_is_named(toy: Path, bonsai: Any) -> None:
    results = {"toy": release_verdicts.release("released"), "twin": release_verdicts.release("refused")}
    record(toy, NEWEST, results, use_cases=["toy", "twin"])
    record(toy, "20260104-000000-toy-dddd", {"toy": release_verdicts.release("inconclusive")})
    assert bonsai("verdict", NEWEST)[0] == 3
    assert bonsai("verdict", NEWEST, "--use-case", "toy")[0] == 0
    code, out, _ = bonsai("verdict", "--use-case", "twin")
    assert (code, out.splitlines()[0]) == (3, NEWEST)
    assert bonsai("verdict", "--use-case", "toy")[0] == 4, "the newest run of that use case"


def test_a_cancelled_run_has_no_verdict_and_one_under_way_none_yet(toy: Path, bonsai: Any) -> None:
    record(toy, NEWEST, {"toy": release_verdicts.release("released")}, state="Cancelled")
    code, out, _ = bonsai("verdict", "--json")
    assert (code, json.loads(out)["verdict"]) == (130, None)
    code, out, _ = bonsai("verdict")
    assert (code, "toy: the run was cancelled" in out) == (130, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["newst"], "did you mean newest?"),
        (["cccd"], f"did you mean {NEWEST}?"),
        (["20260103-000000-toi-cccx"], f"did you mean {NEWEST}?"),
        (["--use-case", "toi"], "did you mean 'toy'?"),
        (["newest", "--use-case", "toi"], "did you mean 'toy'?"),
        (["workspace"], "has no release"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_right_one(toy: Path, bonsai: Any, arguments: list[str], message: str) -> None:
    record(toy, NEWEST, {"toy": release_verdicts.release("released")})
    code, out, err = bonsai("verdict", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_the_projects_own_folder_has_a_verdict_too(toy: Path, bonsai: Any) -> None:
    with Artifact(toy / "data" / "toy" / "release").draft() as draft:
        write_json(draft / "verdict.json", release_verdicts.content("refused"))
    code, out, _ = bonsai("verdict", "workspace", "--json")
    assert (code, json.loads(out)["run"]) == (3, "workspace")


@pytest.mark.parametrize(("name", "code"), [("released", 0), ("refused", 3), ("inconclusive", 4)])
def test_a_run_ends_with_the_verdict_and_with_its_exit_code_if_asked(
    name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {"toy": {"verdict": release_verdicts.content(name)}}
    times = {"started_at": "2026-01-03T00:00:00+00:00", "ended_at": "2026-01-03T00:00:05+00:00"}
    ended = {"state": "Completed", "error": "", "use_cases": ["toy"], "stages": {}, "results": results, **times}
    display = ConsoleDisplay()
    display.run_id = NEWEST
    assert main._print_outcome(display, ended, gate=False, as_json=False) == 0
    assert f"toy: {name}" in capsys.readouterr().out
    display.console = stderr()
    assert main._print_outcome(display, ended, gate=True, as_json=True) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out)["verdict"] == name
    assert f"Completed in 5.0 s, in runs/{NEWEST}" in captured.err
