"""A calibrated file gives probabilities that hold, the same decisions, and the entry that says when to abstain."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tasks.compression import calibration, onnx_export
from tasks.core import onnx_model
from tasks.metrics import calibration as fits
from tasks.metrics import uncertainty
from tasks.problems.binary_classification import BinaryClassification
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.problems.regression import Regression

FACTOR = 3.0
"""How overconfident the files are."""


def linear_model(outputs: int) -> bytes:
    """A file whose outputs (N, K) are FACTOR times its first K inputs, float32 (N, 6)."""
    weights = FACTOR * np.eye(6, outputs, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["inputs", "weights"], ["outputs"], "linear")],
        "graph",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_export.OPSET)], ir_version=10)
    onnx_export.set_metadata(model, {"use_case": "any", "learnt": {"classes": ["a", "b"]}})
    return onnx_model.to_bytes(model)


def rows(count: int, seed: int, classes: int) -> tuple[Any, Any]:
    """Inputs (N, 6) whose first columns are calibrated logits, or log-odds, and targets drawn from them."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(0, 2, (count, 6)).astype(np.float32)
    probabilities = uncertainty.probabilities_of(inputs[:, :classes], "event" if classes == 1 else "classes")
    return inputs, (generator.random((count, 1)) > probabilities.cumsum(1)[:, :-1]).sum(1)


def calibrated(problem: Any, classes: int, state: Any) -> tuple[bytes, bytes, dict[str, Any]]:
    model = linear_model(classes)
    inputs, targets = rows(2000, 0, classes)
    new, report = calibration.calibrate(
        model,
        problem,
        state,
        train_inputs=rows(2000, 1, classes)[0],
        validation_inputs=inputs,
        validation_targets=targets,
        coverage=0.9,
    )
    return model, new, report


@pytest.mark.parametrize(
    ("problem", "classes", "state"),
    [(MulticlassClassification(), 4, {}), (BinaryClassification(), 1, {"threshold": 0.2}), (BinaryClassification(), 1, {})],
)
def test_an_overconfident_file_gets_a_better_log_loss_and_keeps_its_decisions(problem: Any, classes: int, state: Any) -> None:
    model, new, report = calibrated(problem, classes, state)
    inputs, targets = rows(4000, 2, classes)
    before, after = onnx_model.predict(model, inputs), onnx_model.predict(new, inputs)
    kind = calibration.output_kind(problem)
    assert kind is not None
    assert fits.log_loss(after, targets, kind) < 0.8 * fits.log_loss(before, targets, kind)
    assert report["log_loss"]["after"] < report["log_loss"]["before"]
    if classes > 1:
        assert np.array_equal(before.argmax(1), after.argmax(1))
        assert report["temperature"] == pytest.approx(FACTOR, rel=0.1)
    else:
        decision = calibration.decision_log_odds(state)
        assert np.array_equal(before >= decision, after >= decision)


def test_the_entry_travels_in_the_metadata_beside_the_others_and_its_sets_hold_what_they_promise() -> None:
    _, new, _ = calibrated(MulticlassClassification(), 4, {})
    metadata = onnx_model.read_metadata(onnx_model.from_bytes(new))
    assert set(metadata) == {"use_case", "learnt", "uncertainty"}
    entry = metadata[uncertainty.ENTRY]
    assert entry["conformal"]["coverage"] == 0.9
    assert set(entry["out_of_distribution"]["scores"]) == {"energy", "inputs"}
    inputs, targets = rows(4000, 3, 4)
    reading = uncertainty.read(onnx_model.predict(new, inputs), inputs, entry)
    assert reading.conformal_sets[np.arange(4000), targets].mean() == pytest.approx(0.9, abs=0.025)
    assert 0.01 < (np.array(reading.reasons) == uncertainty.OUT_OF_DISTRIBUTION).mean() < 0.04
    far = uncertainty.read(onnx_model.predict(new, 100 * inputs), 100 * inputs, entry)
    assert far.abstained.mean() > 0.95


def test_the_same_rows_give_the_same_bytes() -> None:
    assert calibrated(MulticlassClassification(), 4, {})[1] == calibrated(MulticlassClassification(), 4, {})[1]


def test_a_file_of_a_problem_without_classes_stays_as_it_is() -> None:
    model, new, report = calibrated(Regression(), 2, {})
    assert (new, report) == (model, {})


def test_a_temperature_of_one_adds_no_operator() -> None:
    model = onnx_model.from_bytes(linear_model(3))
    calibration.add_temperature(model, 1.0)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]


def halved(model: bytes) -> ModelProto:
    """The model with a temperature of 2."""
    graph = onnx_model.from_bytes(model)
    calibration.add_temperature(graph, 2.0)
    return graph


def check_halved(model: bytes, inputs: Any) -> None:
    np.testing.assert_allclose(
        onnx_model.predict(onnx_model.to_bytes(halved(model)), inputs),
        onnx_model.predict(model, inputs) / 2,
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_temperature_is_in_the_weights_of_the_last_product_and_adds_no_operator() -> None:
    assert [node.op_type for node in halved(linear_model(3)).graph.node] == ["MatMul"]
    check_halved(linear_model(3), rows(10, 0, 3)[0])


def model_of(nodes: list[Any], outputs: int) -> bytes:
    """A file of these nodes, from `inputs` (N, 6) to `outputs` (N, K), with weights (6, K), a bias and integers of both."""
    generator = np.random.default_rng(0)
    constants = {
        "weights": generator.normal(size=(6, outputs)).astype(np.float32),
        "bias": generator.normal(size=outputs).astype(np.float32),
        "whole_weights": generator.integers(-127, 128, (6, outputs)).astype(np.int8),
        "weight_scale": np.float32(0.02),
        "whole_bias": generator.integers(-999, 999, outputs).astype(np.int32),
        "bias_scale": np.float32(0.001),
        "constant": np.float32(1.5),
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_export.OPSET)], ir_version=10)
    onnx_export.remove_unused(model)
    return onnx_model.to_bytes(model)


INTEGERS = [
    helper.make_node("DequantizeLinear", ["whole_weights", "weight_scale"], ["float_weights"]),
    helper.make_node("DequantizeLinear", ["whole_bias", "bias_scale"], ["float_bias"]),
    helper.make_node("Gemm", ["inputs", "float_weights", "float_bias"], ["outputs"]),
]
SUM = [
    helper.make_node("MatMul", ["inputs", "weights"], ["product"]),
    helper.make_node("Add", ["product", "bias"], ["sum"]),
    helper.make_node("Identity", ["sum"], ["outputs"]),
]
SHARED = [
    helper.make_node("MatMul", ["inputs", "weights"], ["product"]),
    helper.make_node("Add", ["product", "product"], ["outputs"]),
]
CURVED = [helper.make_node("MatMul", ["inputs", "weights"], ["product"]), helper.make_node("Tanh", ["product"], ["outputs"])]


@pytest.mark.parametrize(("nodes", "added"), [(INTEGERS, 0), (SUM, 0), (SHARED, 1), (CURVED, 1)])
def test_a_temperature_takes_an_operator_only_where_no_weights_can_take_it(nodes: list[Any], added: int) -> None:
    model = model_of(nodes, 4)
    assert len(halved(model).graph.node) == len(nodes) + added
    check_halved(model, rows(20, 0, 4)[0])
