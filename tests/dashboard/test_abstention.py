"""The page Try it says when a model abstains, and why."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.readers import model_inputs, onnx_models
from dashboard.text import translations
from dashboard.views.predict import abstention
from tasks.compression import onnx_export
from tasks.core import onnx_model
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS

SENTENCE = "The roots and leaves want soil"
UNLIKE = "The model abstains: this is unlike anything it was trained on."


def entry(coverage_threshold: float, energy_threshold: float, outputs: str = "classes") -> dict[str, Any]:
    scores = {"energy": {"threshold": energy_threshold}}
    return {
        "outputs": outputs,
        "temperature": 1.0,
        "rows": 100,
        "conformal": {"coverage": 0.9, "threshold": coverage_threshold, "rows": 100},
        "out_of_distribution": {"kept": 0.98, "rows": 100, "scores": scores},
    }


def write_entry(root: Path, pattern: str, uncertainty: dict[str, Any]) -> None:
    """Add the entry to the metadata of the files that match."""
    paths = list(root.glob(pattern))
    assert paths
    for path in paths:
        model = onnx_model.from_bytes(path.read_bytes())
        onnx_export.set_metadata(model, {**onnx_model.read_metadata(model), "uncertainty": uncertainty})
        path.unlink()  # the copy may be a link
        path.write_bytes(onnx_model.to_bytes(model))
        recorded_runs.seal(path.parent)


def test_each_model_says_why_it_abstains_from_a_typed_sentence(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path
) -> None:
    root = shutil.copytree(all_use_cases, tmp_path / "p")
    write_entry(root, "runs/*/data/nlp/compressed/dense/model.onnx", entry(0.5, -1e9))
    write_entry(root, "runs/*/data/nlp/release/model.onnx", entry(1.0, 1e9))
    app = open_page(monkeypatch, root, "try_it", uc="nlp")
    app.text_area(key="said").set_value(SENTENCE).run()
    assert not app.exception
    warnings = [each.value for each in app.warning]
    assert warnings[0] == UNLIKE
    assert warnings[1].startswith("The model abstains: it cannot decide between gardens")


def test_a_file_without_the_entry_gives_no_abstention(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    app = open_page(monkeypatch, all_use_cases, "try_it", uc="nlp")
    app.text_area(key="said").set_value(SENTENCE).run()
    assert not app.exception
    assert "abstains" not in page_text(app)


def test_rows_of_a_table_have_a_column_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path
) -> None:
    root = shutil.copytree(all_use_cases, tmp_path / "p")
    write_entry(root, "runs/*/data/credit/compressed/dense/model.onnx", entry(1.0, 0.0, "event"))
    for path in root.glob("runs/*/data/credit/compressed/dense/model.onnx"):
        model = onnx_models.load(path)
        assert model.uncertainty["outputs"] == "event"
    app = open_page(monkeypatch, root, "try_it", uc="credit")
    assert not app.exception
    column = next(name for name in app.dataframe[0].value.columns if name.startswith("abstains"))
    assert app.dataframe[0].value[column].str.startswith("The model abstains").all()


def test_long_prediction_sets_are_shortened() -> None:
    names = [str(number) for number in range(10)]
    assert abstention.reason_text("undecided", names).endswith("between 0, 1, 2 and 7 more.")
    assert abstention.reason_text("undecided", names[:2]).endswith("between 0 and 1.")
    assert abstention.reason_text("", names[:1]) == ""
    assert translations.text("en", "try_it.out_of_distribution") == UNLIKE


def test_predictions_carry_the_reason_and_the_set_where_the_file_has_the_entry(all_use_cases: Any, tmp_path: Path) -> None:
    (path,) = all_use_cases.glob("runs/*/data/nlp/compressed/dense/model.onnx")
    folder = path.parents[4]
    case = model_inputs.load_use_case(all_use_cases, folder, "nlp")
    copied = tmp_path / "model.onnx"
    shutil.copyfile(path, copied)
    write_entry(tmp_path, "model.onnx", entry(1.0, 1e9))
    model = onnx_models.load(copied)
    rows = model_inputs.row_from_text(case, SENTENCE, model)
    predictions = model_inputs.predict(case, model, rows)
    assert predictions["abstains"].tolist() == ["undecided"]
    assert sorted(predictions["prediction_set"][0]) == sorted(model.classes)
    assert "abstains" not in model_inputs.predict(case, onnx_models.load(path), rows)
    assert np.isfinite(predictions["confidence"]).all()
