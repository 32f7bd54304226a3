"""The pages Results and Try it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.text import translations
from dashboard.views.results import classification
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


def test_a_missing_p_value_is_no_warning(all_use_cases: Any) -> None:
    def page(root):  # type: ignore[no-untyped-def]  # Streamlit runs its source without the imports of this module
        from dashboard.readers import report_models
        from dashboard.readers.artifacts import Artifacts
        from dashboard.readers.runs import run_records
        from dashboard.views.results import risk_forecasts

        artifacts = Artifacts(root, run_records.latest(root, "finance")[0].folder, "finance")
        rows = [{"ticker": "all", "level": 0.05, "days": 9, "hits": 0, "share": 0.0, "kupiec_p": p} for p in (None, 1e-9)]
        risk_forecasts.coverage(artifacts, "dense", "test", report_models.RiskForecastReport(coverage=rows, backtest={}))

    app = AppTest.from_function(page, kwargs={"root": all_use_cases}).run()
    assert not app.exception
    assert len(app.warning) == 1
    assert "< 0.0001" in app.metric[0].delta


def test_gains_over_baselines_are_those_of_the_dense_model_for_every_recipe(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any
) -> None:
    app = open_page(monkeypatch, all_use_cases, "results", uc="finance", view="standings", recipe="pruned")
    assert translations.text("en", "risk.gains_note") in page_text(app)
    rows = next(each.value for each in app.dataframe if "method" in each.value)
    assert set(rows["p"].map(type)) == {str}


def test_a_model_worse_than_a_baseline_has_a_warning_first(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    app = open_page(monkeypatch, all_use_cases, "results", uc="finance", recipe="dense")
    assert "A baseline is as good or better" in app.warning[0].value


def test_named_entities_and_generated_samples_have_views_of_their_own(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path
) -> None:
    root = shutil.copytree(all_use_cases, tmp_path / "p")
    (path,) = root.glob("runs/*/data/nlp/evaluations/int8/metrics.json")
    whole = json.loads(path.read_text())
    kinds = [{"class": "person", "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 12}]
    rows = [{"text": "<b>x</b>", "perplexity": 2.5}]
    (model,) = root.glob("runs/*/data/nlp/model/report.json")
    model.write_text(json.dumps({"shown": {"written": ["<b>x</b>"]}}))
    for report, expected in (({"per_entity": kinds}, "counts as correct"), ({"hardest": rows, "easiest": rows}, "fixed seed")):
        for split in whole["splits"].values():
            split["report"] = report
        path.write_text(json.dumps(whole))
        app = open_page(monkeypatch, root, "results", uc="nlp", recipe="int8")
        assert not app.exception
        assert any(expected in each.value for each in app.caption)


def test_a_confusion_matrix_cell_says_when_it_shows_only_some_rows(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    monkeypatch.setattr(classification, "MAX_SAMPLES", 2)
    app = open_page(monkeypatch, projects["finished"], "results", view="confusion", truth="1", answer="1", recipe="dense")
    assert any("The 2 with the highest confidence" in each.value for each in app.caption)


def test_both_models_classify_a_typed_sentence(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    app = open_page(monkeypatch, all_use_cases, "try_it", uc="nlp")
    app.text_area(key="said").set_value("The roots and leaves want soil").run()
    assert not app.exception
    assert [each.value for each in app.metric] == ["gardens", "gardens"]


def test_the_prediction_for_a_table_row_is_explained_for_each_model(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    app = open_page(monkeypatch, all_use_cases, "try_it", uc="credit")
    assert not app.exception
    assert any("Feature contributions for row 1" in each.value for each in app.markdown)
