"""The stage baselines writes classic models, and evaluate measures them like a recipe."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact, Table
from tasks.evaluation import latency, uncertainty
from tasks.problems.baselines import kernel_machine
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.stages import baselines, compress, evaluate
from tasks.stages import latency as latency_stage
from tests.support import tiny_images


class ExportedBars(tiny_images.BarClassification):
    """The toy problem with a kernel machine that competes."""

    def exported_baselines(self, train: Any, encode: Any, state: Any) -> Any:
        inputs, targets = encode(train)
        return {"kernel machine": kernel_machine.exported(inputs, targets, state)}


@pytest.fixture
def competing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_images.Bars, "problem", ExportedBars())
    monkeypatch.setattr(latency, "MIN_ROUNDS", 3)
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)


def test_the_same_rows_give_the_same_bytes_and_a_report_beside_each_file(tmp_path: Any, competing: None) -> None:
    context = tiny_images.stage_context(tmp_path, "baselines")
    checksums = []
    for _ in range(2):
        baselines.main(context)
        checksums.append(context.baselines.json("checksums.json"))
    assert checksums[0] == checksums[1]
    assert set(checksums[0]) == {"report.json", "kernel-machine/model.onnx", "kernel-machine/report.json"}
    assert context.baselines.json("report.json") == {"baselines": ["kernel-machine"], "note": ""}
    report = context.baselines.json("kernel-machine/report.json")
    assert report["bytes"] == (context.baselines.path / "kernel-machine" / "model.onnx").stat().st_size
    assert (report["name"], report["slug"], report["train_rows"]) == ("kernel machine", "kernel-machine", 150)
    assert report["parity"]["rows"] == 150
    assert report["parity"]["max_difference"] < 1e-3


def test_a_problem_without_exported_models_says_so(tmp_path: Any) -> None:
    context = tiny_images.stage_context(tmp_path, "baselines")
    baselines.main(context)
    assert context.baselines.json("report.json") == {"baselines": [], "note": baselines.NONE_EXPORTED}
    assert [path.name for path in context.baselines.path.iterdir() if path.is_dir()] == []


def test_a_file_that_differs_from_its_model_is_an_error(tmp_path: Any, competing: None) -> None:
    case, table = tiny_images.Bars(), tiny_images.rows()
    model = case.exported_baselines(table[table["split"] == "train"])["kernel machine"]
    content = baselines.to_bytes(model, "bars", "kernel-machine")
    with pytest.raises(RuntimeError, match="kernel machine differs from scikit-learn by"):
        baselines.parity(content, model.inputs, model.expected + 0.1, "kernel machine")
    with pytest.raises(RuntimeError, match=r"outputs of shape \(150, 2\), scikit-learn of \(150, 1\)"):
        baselines.parity(content, model.inputs, model.expected[:, :1], "kernel machine")


def test_evaluate_measures_a_classic_model_like_a_recipe(tmp_path: Any, competing: None) -> None:
    context = tiny_images.stage_context(tmp_path, "baselines")
    baselines.main(context)
    compress.main(tiny_images.stage_context(tmp_path, "compress", "dense"))
    evaluate.main(tiny_images.stage_context(tmp_path, "evaluate", "dense"))
    folder = context.evaluation("dense")
    metrics = folder.json("metrics.json")
    own = metrics["classic"]["kernel-machine"]
    assert list(metrics["classic"]) == ["kernel-machine"]
    assert set(own) - {"name", "against_dense", "slices"} <= set(metrics)
    assert (own["recipe"], own["name"], own["macs"]) == ("kernel-machine", "kernel machine", None)
    assert own["bytes_share"] == pytest.approx(own["bytes"] / metrics["bytes"])
    assert own["rows"] == metrics["rows"]
    assert list(metrics["baselines"]) == ["majority", "kernel machine"]
    assert set(metrics["against_rivals"]["test"]["gains"]) == {"majority", "kernel machine"}
    predictions = Table(folder.path / "baselines" / "kernel-machine" / "predictions").read()
    for split in ("validation", "test"):
        part = predictions[predictions["split"] == split]
        correct = (part["label"] == part["predicted"]).mean()
        assert own["splits"][split]["scores"]["accuracy"] == pytest.approx(correct)
        assert metrics["baselines"]["kernel machine"][split]["scores"] == own["splits"][split]["scores"]
        drop = metrics["splits"][split]["scores"]["accuracy"] - correct
        assert own["against_dense"][split]["drop"]["value"] == pytest.approx(drop)
        assert metrics["against_rivals"][split]["gains"]["kernel machine"]["value"] == pytest.approx(drop)
    assert own["slices"]["confirmed"] == []
    latency_stage.main(replace(tiny_images.stage_context(tmp_path, "latency"), recipe_names=("dense",)))
    timed = context.timings()["variants"]
    assert set(timed) == {"eager PyTorch", "dense", "kernel-machine"}
    assert timed["kernel-machine"]["speedup_over"]["dense"]["1"]["ratio"] > 0


class Classes(MulticlassClassification):
    """The toy's classes with a kernel machine that competes."""

    exported_baselines = ExportedBars.exported_baselines


def test_a_classic_classifier_is_calibrated_on_validation_rows_and_keeps_its_decisions(
    tmp_path: Any, competing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = tiny_images.stage_context(tmp_path, "baselines")
    baselines.main(context)
    path = context.baselines.path / "kernel-machine" / "model.onnx"
    plain = path.read_bytes()
    monkeypatch.setattr(tiny_images.Bars, "problem", Classes())
    baselines.main(context)
    metadata = onnx_model.read_metadata(onnx_model.from_bytes(path.read_bytes()))
    assert metadata["uncertainty"]["conformal"]["coverage"] == 0.9
    report = context.baselines.json("kernel-machine/report.json")
    assert report["bytes"] == path.stat().st_size
    assert report["calibration"]["log_loss"]["after"] <= report["calibration"]["log_loss"]["before"]
    table = tiny_images.rows()
    test = table[table["split"] == "test"]
    inputs, _ = context.case.encode(test, metadata["learnt"])
    outputs = [onnx_model.predict(model, inputs) for model in (plain, path.read_bytes())]
    assert (outputs[0].argmax(1) == outputs[1].argmax(1)).all()
    assert np.allclose(outputs[0] / metadata["uncertainty"]["temperature"], outputs[1], atol=1e-4)
    measured = uncertainty.measure_uncertainty(path.read_bytes(), context.case, {"test": test})["uncertainty"]["splits"]["test"]
    assert measured["rows"] == 75
    assert measured["coverage"]["low"] <= 0.9


def test_a_recipe_with_the_name_of_a_classic_model_is_refused(tmp_path: Any, competing: None) -> None:
    context = tiny_images.stage_context(tmp_path, "baselines")
    baselines.main(context)
    from tasks.evaluation import classic_models

    with pytest.raises(UserError, match=r"recipes\.kernel-machine has the name of a classic model; rename the recipe"):
        classic_models.load(context.baselines, context.case, {}, ["dense", "kernel-machine"])
    with pytest.raises(UserError, match="run the stage that makes it"):
        classic_models.load(Artifact(tmp_path / "nowhere"), context.case, {}, ["dense"])


def test_models_that_read_other_inputs_are_timed_on_their_own(tmp_path: Any, competing: None) -> None:
    context = tiny_images.stage_context(tmp_path, "baselines")
    baselines.main(context)
    path = context.baselines.path / "kernel-machine" / "model.onnx"
    rows = np.zeros((4, 1, 8, 8), np.uint8)
    variants = [latency.Variant(name="own", runtime="onnx", path=path, inputs=rows)]
    timed = latency.measure(variants, np.zeros((4, 3), np.float64), tmp_path, base="own")
    assert timed["variants"]["own"]["batches"]["64"]["median_ms"] > 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("latency-inputs")] == []
