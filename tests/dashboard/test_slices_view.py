"""The slices where compression lost, below what each class lost."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dashboard.text import translations
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS

COAT = {
    "slice": "label = <b>coat</b>",
    "column": "label",
    "rows": 80,
    "dense": 0.9,
    "own": 0.6,
    "drop": {"value": 0.3, "low": 0.2, "high": 0.4},
    "p": 1e-7,
    "adjusted_p": 1e-6,
}


def found(root: Path, **changes: Any) -> None:
    """Write these slices into the metrics of each recipe."""
    for path in root.glob("runs/*/data/vision/evaluations/*/metrics.json"):
        metrics = json.loads(path.read_text())
        if "slices" in metrics:
            metrics["slices"] = {"candidates": 26, "tested": 7, "alpha": 0.05, "confirmed": [], "nearest": []} | changes
            path.write_text(json.dumps(metrics))


@pytest.fixture
def root(all_use_cases: Any, tmp_path: Path) -> Path:
    return shutil.copytree(all_use_cases, tmp_path / "p")


def test_a_confirmed_slice_is_a_row_of_a_table(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    found(root, confirmed=[COAT], nearest=[COAT])
    app = open_page(monkeypatch, root, "compression", uc="vision", view="damage")
    assert not app.exception
    table = app.dataframe[-1].value
    assert set(table["rows"]) == {80}
    assert set(table["adjusted p"]) == {"< 0.0001"}
    assert translations.text("en", "compression.no_slices") not in page_text(app)


@pytest.mark.parametrize("language", translations.LANGUAGES)
def test_no_confirmed_slice_is_one_sentence_with_the_nearest(monkeypatch: pytest.MonkeyPatch, root: Path, language: Any) -> None:
    found(root, nearest=[{**COAT, "p": 0.1, "adjusted_p": 0.7}])
    app = open_page(monkeypatch, root, "compression", uc="vision", view="damage", lang=language)
    assert not app.exception
    assert translations.text(language, "compression.no_slices") in page_text(app)
    assert "0.7000" in page_text(app)
    assert "<b>" not in page_text(app).replace(r"\<b\>", "")


def test_a_run_that_did_not_look_for_slices_shows_none(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    for path in root.glob("runs/*/data/vision/evaluations/*/metrics.json"):
        metrics = json.loads(path.read_text())
        metrics.pop("slices", None)
        path.write_text(json.dumps(metrics))
    app = open_page(monkeypatch, root, "compression", uc="vision", view="damage")
    assert not app.exception
    assert translations.text("en", "compression.slices") not in page_text(app)


def test_slices_of_another_shape_are_a_message(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    found(root, confirmed=[{"slice": 3}])
    app = open_page(monkeypatch, root, "compression", uc="vision", view="damage")
    assert not app.exception
    assert "has an unexpected structure" in page_text(app)


def test_slices_of_recorded_runs_are_computed_for_every_use_case(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    for use_case in ("vision", "nlp", "finance", "credit"):
        app = open_page(monkeypatch, all_use_cases, "compression", uc=use_case, view="damage")
        assert not app.exception
        assert translations.text("en", "compression.slices") in page_text(app)
