"""The models page: champion, versions, history, promotion and rollback."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from dashboard.readers import models
from dashboard.readers.bonsai_commands import CommandError
from flows.registry import history
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with two registered versions; the second is the champion."""
    root = recorded_runs.project(tmp_path / "p")
    with history.writing(root, "vision") as registered:
        for number in (1, 2):
            folder = recorded_runs.finished(root, number=number)
            facts = {"released": "int8", "metric": "accuracy", "value": 0.9 + number / 100, "bytes": 4500, "run": folder.name}
            history.append(root, registered, history.REGISTERED, version=number, checksums=str(number), **facts)
            history.append(root, registered, history.POINTED, alias="champion", version=number, why="promotion")
            place = history.folder(root, "vision") / str(number)
            shutil.copytree(folder / "data" / "vision" / "release", place)
    return root


def test_the_champion_its_versions_and_its_history_are_shown(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "models")
    assert not app.exception
    text = page_text(app)
    assert "0.9200" in text
    assert "made **vision@2** the champion" in text.replace("\\", "")
    shown = app.dataframe[0].value
    assert list(shown["version"]) == ["vision@2", "vision@1"]
    assert list(shown["alias"]) == ["champion", ""]
    assert any("bonsai serve vision" in each.value for each in app.code)


def test_rolling_back_takes_two_clicks_and_says_what_happened(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    asked = []
    monkeypatch.setattr(models, "roll_back", lambda *what: asked.append(what) or "rolled back: vision@1 is the champion")
    app = open_page(monkeypatch, root, "models")
    app.button(key="roll_back_yes").click().run()
    assert asked == [(root, "vision")]
    assert any("vision@1 is the champion" in each.value for each in app.success)


def test_a_refused_promotion_shows_the_reason(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    recorded_runs.finished(root, number=3)

    def refuse(*what: Any) -> str:
        raise CommandError("vision@3 is shown worse than the champion")

    monkeypatch.setattr(models, "promote", refuse)
    app = open_page(monkeypatch, root, "models")
    app.button(key="promote_newest_yes").click().run()
    assert any("is shown worse" in each.value for each in app.warning)


def test_a_project_without_models_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["nothing"], "models")
    assert "No model is registered yet" in page_text(app)


def test_a_damaged_history_is_named(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    with (history.folder(root, "vision") / history.FILE).open("a") as file:
        file.write("{}\n")
    app = open_page(monkeypatch, root, "models")
    assert any("line 5" in each.value for each in app.warning)
