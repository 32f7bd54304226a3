"""Tables whose label is one of many classes, or a number: every page shows them as what they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.readers import model_inputs, onnx_models
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs import run_records
from dashboard.text import translations
from tests.support import dashboard_scenarios
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS
ONLY_REGRESSION = pytest.mark.parametrize("credit_scene", ["credit_number"], indirect=True)

RESULTS_VIEWS = {
    "credit_classes": ("confusion", "per_class", "thresholds", "calibration", "mistakes", "standings"),
    "credit_number": ("calibration", "quantiles", "largest", "standings"),
}
OTHER_VIEWS = [
    ("run", {}),
    ("history", {}),
    ("compare", {"view": "classes"}),
    ("data", {"view": "quality"}),
    ("data", {"view": "columns", "column": "label"}),
    ("data", {"view": "drift"}),
    ("compression", {"view": "front"}),
    ("compression", {"view": "damage"}),
    ("compression", {"view": "flipped"}),
]


def recorded_model(root: Any) -> Any:
    """The use case as its run had it, its dense model, and its artifacts."""
    (run,) = run_records.latest(root, "credit")
    artifacts = Artifacts(root, run.folder, "credit")
    case = model_inputs.load_use_case(root, run.folder, "credit")
    return case, onnx_models.load(artifacts.file("compressed/dense/model.onnx")), artifacts


def test_every_results_view_renders(monkeypatch: pytest.MonkeyPatch, credit_scene: Any) -> None:
    name, root = credit_scene
    for view in RESULTS_VIEWS[name]:
        app = open_page(monkeypatch, root, "results", uc="credit", view=view, recipe="pruned")
        assert not app.exception, view
        assert not (*app.info, *app.error), view
        assert app.query_params["view"] == view


def test_every_other_page_renders(monkeypatch: pytest.MonkeyPatch, credit_scene: Any) -> None:
    _, root = credit_scene
    for page, query in OTHER_VIEWS:
        app = open_page(monkeypatch, root, page, uc="credit", **query)
        assert not app.exception, (page, query)
        assert not app.error, (page, query)


@ONLY_REGRESSION
@pytest.mark.parametrize("language", translations.LANGUAGES)
def test_metrics_and_baselines_of_a_regression_are_named(
    monkeypatch: pytest.MonkeyPatch, credit_scene: Any, language: Any
) -> None:
    _, root = credit_scene
    app = open_page(monkeypatch, root, "results", uc="credit", view="standings", recipe="dense", lang=language)
    labels = [each.label.replace("\\", "") for each in app.metric]
    assert labels[:3] == [translations.text(language, f"metric.{key}") for key in ("r2", "rmse", "mae")]
    assert app.metric[0].delta
    assert translations.text(language, "baseline.mean") in page_text(app)


@ONLY_REGRESSION
def test_large_errors_of_a_regression_are_listed_with_their_rows(monkeypatch: pytest.MonkeyPatch, credit_scene: Any) -> None:
    _, root = credit_scene
    app = open_page(monkeypatch, root, "results", uc="credit", view="largest", recipe="pruned")
    table = app.dataframe[0].value
    assert list(table.columns) == ["file", "row", "predicted", "actual", "error"]
    np.testing.assert_allclose(table["error"], table["predicted"] - table["actual"])
    assert table["error"].abs().is_monotonic_decreasing


@ONLY_REGRESSION
def test_a_report_of_a_regression_without_errors_is_a_message(
    monkeypatch: pytest.MonkeyPatch, credit_scene: Any, tmp_path: Path
) -> None:
    name, root = credit_scene
    root = shutil.copytree(root, tmp_path / "p")
    (path,) = root.glob("runs/*/data/credit/evaluations/int8/metrics.json")
    metrics = json.loads(path.read_text())
    damaged: list[Any] = [{}, {"quantiles": "x"}, []]
    for errors in damaged:
        metrics["splits"]["test"]["report"] = {"errors": errors}
        path.write_text(json.dumps(metrics))
        for view in RESULTS_VIEWS[name][:3]:
            app = open_page(monkeypatch, root, "results", uc="credit", view=view, recipe="int8")
            assert not app.exception
            assert not app.error
            assert app.info


def test_the_label_is_drawn_as_a_number_or_by_class(monkeypatch: pytest.MonkeyPatch, credit_scene: Any) -> None:
    name, root = credit_scene
    app = open_page(monkeypatch, root, "data", uc="credit", view="splits")
    assert not app.exception
    texts = page_text(app)
    numeric = name == "credit_number"
    assert (translations.text("en", "data.label_distribution") in texts) == numeric
    assert (translations.text("en", "data.balance") in texts) != numeric
    assert translations.text("en", "data.no_classes") not in texts


def test_predictions_for_test_rows_are_shown_and_explained(monkeypatch: pytest.MonkeyPatch, credit_scene: Any) -> None:
    name, root = credit_scene
    app = open_page(monkeypatch, root, "try_it", uc="credit")
    assert not app.exception
    assert not (*app.info, *app.error, *app.warning)
    columns = list(app.dataframe[0].value.columns)
    numeric = name == "credit_number"
    assert any("Feature contributions for row 1" in each.value for each in app.markdown)
    assert ("confidence · Dense" in columns) != numeric
    assert "predicted · Dense" in columns
    assert not [column for column in columns if column.startswith(("target", "value"))]
    note = "contributions_note_number" if numeric else "contributions_note"
    assert translations.text("en", f"try_it.{note}") in page_text(app)
    shares = [each for each in app.get("vega_lite_chart") if each.proto.alt == translations.text("en", "try_it.probabilities")]
    assert len(shares) == (0 if numeric else 2)


def test_an_uploaded_table_is_read_and_predicted_as_the_models_label(credit_scene: Any) -> None:
    name, root = credit_scene
    case, model, artifacts = recorded_model(root)
    columns = ["label", "income", "age", "sex", "home"]
    table = dashboard_scenarios.of(name).raw[columns].dropna().head(40)
    if name == "credit_number":
        table = table.assign(label=[str(number % 3) for number in range(len(table))])  # would be taken for classes
    checked = model_inputs.rows_from_file(case, table.to_csv(index=False).encode(), "loans.csv", model.state)
    predictions = model_inputs.predict(case, model, checked.rows)
    stored = artifacts.predictions("dense", "test")
    assert set(predictions.columns) <= set(stored.columns)
    if name == "credit_number":
        assert predictions["value"].between(stored["value"].min() - 1000, stored["value"].max() + 1000).all()
        assert set(predictions["target"]) == {0.0, 1.0, 2.0}
    else:
        assert set(predictions["predicted"]) <= {"A", "B", "C"}
        assert all(len(each) == 3 for each in predictions["probabilities"])


def test_a_contribution_is_the_change_of_the_prediction(credit_scene: Any) -> None:
    name, root = credit_scene
    case, model, artifacts = recorded_model(root)
    rows = artifacts.rows("clean/rows", None, [("split", "==", "test")]).reset_index(drop=True)
    contributions = model_inputs.column_contributions(case, model, rows, 3)
    first = contributions.iloc[0]
    assert first["column"] == "income"
    changed = rows.iloc[[3]].assign(income=float(first["usual"]))
    before, after = (model_inputs.predict(case, model, some).iloc[0] for some in (rows.iloc[[3]], changed))
    if name == "credit_number":
        assert first["worth"] == pytest.approx(before["value"] - after["value"], rel=1e-5)
    else:
        answer = list(before["classes"]).index(before["predicted"])
        assert first["worth"] == pytest.approx(before["probabilities"][answer] - after["probabilities"][answer], abs=1e-6)
