"""The four verdicts on the pages: the same word and sentence everywhere, and never a released model where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from dashboard.readers.runs import run_records, verdicts
from dashboard.ui import verdict_view
from tests.support import recorded_runs, release_verdicts
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS
NAMES = ("released", "refused", "inconclusive", "error", "old release", "old refusal")
WORDS = {**release_verdicts.WORDS, "error": "error"}
TITLES = {"released": "Released: int8", "refused": "Refused", "inconclusive": "Inconclusive", "error": "Error"}
NEAREST = "Nearest: pruned; about 700 more test rows would decide."


@pytest.fixture(scope="session")
def decided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project with one run for each verdict, by its name. Tests share them: not to be changed."""
    roots = {}
    for name in NAMES:
        roots[name] = root = recorded_runs.project(tmp_path_factory.mktemp("decided") / "p")
        folder = recorded_runs.run(root, "Failed" if name == "error" else "Completed")
        if name != "error":
            release_verdicts.decide(folder, "vision", name)
    return roots


def shown(app: Any) -> str:
    """All text of a page, with the titles of its boxes, without escapes."""
    boxes = [each.proto.title for kind in ("info", "warning", "error", "success") for each in app.get(kind)]
    return "\n".join([str(page_text(app)), *boxes]).replace("\\", "")


@pytest.mark.parametrize("name", NAMES)
def test_the_page_runs_has_the_word_and_only_what_was_released(monkeypatch: pytest.MonkeyPatch, decided: Any, name: str) -> None:
    row = open_page(monkeypatch, decided[name], "history").dataframe[0].value.iloc[0]
    word = WORDS[name]
    assert row["verdict"] == f"{verdict_view.GLYPHS[word]} {word.capitalize()}"
    assert row["recipe"] == ("int8" if word == "released" else "")
    if word != "error":
        assert row["metric"] == ("Accuracy" if word == "released" else "Accuracy · Dense")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("page", ["run", "compression", "results", "try_it"])
def test_every_page_that_shows_a_release_has_the_word(
    monkeypatch: pytest.MonkeyPatch, decided: Any, name: str, page: str
) -> None:
    app = open_page(monkeypatch, decided[name], page)
    assert not app.exception
    text = shown(app)
    assert TITLES[WORDS[name]] in text
    assert "Released: dense" not in text
    assert (NEAREST in text) == (name == "inconclusive")
    if name == "error":
        assert "train@vision failed" in text or page == "run"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "error"])
def test_the_terms_of_every_candidate_have_their_numbers(monkeypatch: pytest.MonkeyPatch, decided: Any, name: str) -> None:
    app = open_page(monkeypatch, decided[name], "compression", view="terms")
    assert not app.exception
    tables = [each.value for each in app.dataframe]
    assert len(tables) == len(release_verdicts.content(name)["candidates"])
    first = tables[0].iloc[0]
    assert first["Term"] == "Metric drop, at most"
    assert first["Allowed"] == "0.0100"
    if name == "inconclusive":
        assert (first["Measured"], first["Bound"], first["p"]) == ("0.0040", "0.0125", "0.1100")
        assert first["Contract"] == "not proven to meet it"
        assert "it may well keep the contract".capitalize() in shown(app)
        assert "classic model" in shown(app)
        assert list(tables[0]["Allowed"])[2] == "baseline"


def test_a_classic_model_is_marked_in_the_table_of_recipes(monkeypatch: pytest.MonkeyPatch, decided: Any) -> None:
    table = open_page(monkeypatch, decided["inconclusive"], "compression").dataframe[-1].value
    assert dict(zip(table["recipe"], table["kind"], strict=True)) == {
        "dense": "network",
        "int8": "network",
        "pruned": "network",
        "logistic": "classic model",
    }
    old = open_page(monkeypatch, decided["old release"], "compression").dataframe[-1].value
    assert "kind" not in old


def test_the_verdicts_are_in_chinese_too(monkeypatch: pytest.MonkeyPatch, decided: Any) -> None:
    text = shown(open_page(monkeypatch, decided["inconclusive"], "compression", lang="zh"))
    assert "尚无定论" in text
    assert "约再增加 700 行测试数据" in text


def test_versions_and_comparison_say_what_was_decided(monkeypatch: pytest.MonkeyPatch, decided: Any, projects: Any) -> None:
    versions = open_page(monkeypatch, decided["refused"], "versions", view="versions").dataframe[0].value
    assert list(versions["verdict"]) == ["", "", "✕ Refused"] or "✕ Refused" in set(versions["verdict"])
    app = open_page(monkeypatch, projects["finished"], "compare")
    app.toggle(key="only").set_value(False).run()
    outcome = next(each.value for each in app.dataframe if "Verdict" in set(each.value["name"]))
    values = {row["name"]: row.iloc[1] for _, row in outcome.iterrows()}
    assert (values["Verdict"], values["Released"]) == ("Released", "int8")


def test_a_cancelled_run_has_no_verdict(tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Cancelled")
    run = run_records.load(root, folder.name)
    assert verdicts.of_run(run, "vision").word == ""
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "results": {"vision": 3}, "state": "Completed"}))
    run = run_records.load(root, folder.name)
    assert verdicts.of_run(run, "vision").word == "error", "it ended without a release"
