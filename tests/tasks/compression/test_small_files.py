"""Files shrink without another answer: short names, no zero points, weights of 4 bits; and networks are trained for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tasks.compression import four_bit_weights, lean_file, learned_steps, onnx_export, teacher_training
from tasks.compression.steps.distill import Distill
from tasks.compression.steps.int4 import Int4
from tasks.compression.steps.qat import Qat
from tasks.compression.steps.quantize import Quantize
from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.core.settings import settings
from tasks.models.vision.strided_cnn import StridedCnn
from tasks.training import trainer
from tests.support import tiny_images


@pytest.fixture(scope="module")
def network() -> Any:
    return tiny_images.fitted_network()


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return tiny_images.compression_context(tmp_path)


@settings
class ImageModel:
    architecture: str = "cnn"


def to_file(network: Any, context: Any) -> bytes:
    return onnx_export.to_onnx(network, context.inputs, {"classes": list(tiny_images.NAMES)}, "bars")


def to_lean(content: bytes) -> bytes:
    return onnx_export.with_short_names(lean_file.without_defaults(content))


def constants(content: bytes) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in onnx_model.from_bytes(content).graph.initializer}


# Lean files


def test_a_lean_file_is_smaller_and_answers_alike(network: Any, context: Any) -> None:
    quantized = Quantize()(to_file(network, context), context)
    lean = to_lean(quantized)
    assert len(lean) < 0.75 * len(quantized)
    inputs = context.validation_inputs
    np.testing.assert_allclose(onnx_model.predict(lean, inputs), onnx_model.predict(quantized, inputs), atol=1e-5)
    assert onnx_model.read_metadata(onnx_model.from_bytes(lean)) == onnx_model.read_metadata(onnx_model.from_bytes(quantized))
    graph = onnx_model.from_bytes(lean).graph
    assert [value.name for value in [*graph.input, *graph.output]] == ["inputs", "outputs"]
    assert not graph.value_info
    assert {node.name for node in graph.node} == {""}


def test_weights_need_no_zero_points_but_activations_keep_theirs(network: Any, context: Any) -> None:
    content = to_lean(Quantize()(to_file(network, context), context))
    tensors = constants(content)
    for node in onnx_model.from_bytes(content).graph.node:
        if node.op_type == "DequantizeLinear":
            assert len(node.input) == (2 if node.input[0] in tensors else 3)
        elif node.op_type == "QuantizeLinear":
            assert len(node.input) == 3


def test_biases_stay_floats_and_the_runtime_convolves_in_integers_all_the_same(
    network: Any, context: Any, tmp_path: Path
) -> None:
    import onnxruntime

    content = to_lean(Quantize()(to_file(network, context), context))
    tensors = constants(content)
    biases = [tensors[node.input[2]] for node in onnx_model.from_bytes(content).graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(biases) == 4
    assert {tensor.data_type for tensor in biases} == {TensorProto.FLOAT}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimized.onnx"), 3
    onnxruntime.InferenceSession(content, options)
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("QLinearConv") == 3
    assert "Conv" not in operators


def test_no_maximum_is_taken_over_a_map_of_one_value() -> None:
    ending_in_one, ending_in_four = StridedCnn(), StridedCnn(side=32, widths=[8, 8])
    assert [isinstance(each.whole, torch.nn.Identity) for each in (ending_in_one, ending_in_four)] == [True, False]
    images = np.zeros((2, 1, 28, 28), np.uint8)
    operators = [
        node.op_type for node in onnx_model.from_bytes(onnx_export.to_onnx(ending_in_one.eval(), images, {}, "b")).graph.node
    ]
    assert operators.count("MaxPool") == len(ending_in_one.pooled)


def test_a_file_made_lean_again_stays_as_it_is(network: Any, context: Any) -> None:
    lean = to_lean(to_file(network, context))
    assert to_lean(lean) == lean


def test_equal_constants_are_kept_once() -> None:
    one, two = (numpy_helper.from_array(np.ones(3, np.float32), name) for name in ("one", "two"))
    nodes = [
        onnx.helper.make_node("Add", ["inputs", "one"], ["middle"], "a_long_name"),
        onnx.helper.make_node("Mul", ["middle", "two"], ["outputs"]),
    ]
    values = [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("inputs", "outputs")]
    graph = onnx.helper.make_graph(nodes, "sum", values[:1], values[1:], [one, two])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    content = to_lean(onnx_model.to_bytes(model))
    assert list(constants(content)) == ["t0"]
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(onnx_model.predict(content, rows), rows + 1)


# Weights of 4 bits


def test_two_values_share_a_byte_the_first_in_its_lower_half() -> None:
    values = np.array([1, -1, 7, -7, 3], np.int8)
    assert four_bit_weights.pack(values) == bytes([0xF1, 0x97, 0x03])
    tensor = TensorProto(data_type=TensorProto.INT4, dims=[5], raw_data=four_bit_weights.pack(values))
    assert numpy_helper.to_array(tensor).astype(int).tolist() == values.tolist()


@pytest.mark.parametrize("largest", [1, 3, 5, 7])
def test_weights_on_a_grid_of_4_bits_are_found_exactly_whatever_levels_they_use(largest: int) -> None:
    levels = np.random.default_rng(largest).integers(-largest, largest + 1, (6, 40))
    levels[:, 0] = largest
    weights = levels * np.linspace(0.01, 3, 6)[:, None]
    scales = (np.abs(weights).max(1) / 127).astype(np.float32)
    stored = np.round(weights / scales[:, None]).astype(np.int8)
    found = four_bit_weights.round_to_grid("w", stored, scales, 0)
    assert found.error == 0
    np.testing.assert_allclose(found.values * found.scales[:, None], weights, rtol=0.01)


def test_other_weights_are_rounded_with_less_error_than_by_their_largest_value() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 900))
    scales = (np.abs(weights).max(1) / 127).astype(np.float32)
    stored = np.round(weights / scales[:, None]).astype(np.int8)
    found = four_bit_weights.round_to_grid("w", stored, scales, 0)
    step = np.abs(weights).max(1, keepdims=True) / 7
    by_largest = np.square(np.round(weights / step) * step - weights).sum() / np.square(weights).sum()
    assert 0 < found.error < by_largest


def test_a_trained_grid_is_stored_in_4_bits_without_a_change_of_the_answers(network: Any, context: Any) -> None:
    fitted = Qat(bits=4, edge_bits=8, min_values=100, effort=0.5)(network, context)
    assert context.notes["qat"]["layers"] == ["convs.1", "convs.2"]
    assert all(len(channel.unique()) <= 15 for channel in fitted.convs[1].weight)
    assert fitted.fields == network.fields
    quantized = Quantize()(to_file(fitted, context), context)
    stored = Int4()(quantized, context)
    assert context.notes["int4"] == {
        "tensors": 2,
        "left_in_8_bits": [],
        "exact": 2,
        "score_before": context.notes["int4"]["score_before"],
        "score_after": context.notes["int4"]["score_after"],
        "budget_kept": True,
    }
    kinds = [tensor.data_type for tensor in constants(stored).values()]
    assert kinds.count(TensorProto.INT4) == 2
    before, after = (onnx_model.predict(content, context.validation_inputs) for content in (quantized, stored))
    assert np.abs(before - after).max() < 0.05 * np.abs(before).max()
    lean = to_lean(stored)
    np.testing.assert_allclose(onnx_model.predict(lean, context.validation_inputs), after, atol=1e-6)


def test_the_runtime_folds_4_bit_weights_when_it_loads_the_file(network: Any, context: Any, tmp_path: Path) -> None:
    import onnxruntime

    content = Int4(min_values=100)(Quantize()(to_file(network, context), context), context)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "QLinearConv" in operators
    assert not operators & {"Cast", "Conv"}


def test_a_tensor_that_costs_too_much_stays_in_8_bits(network: Any, context: Any) -> None:
    quantized = Quantize()(to_file(network, context), context)
    context.notes.clear()
    scores = iter([1.0, 0.5, 1.0])
    object.__setattr__(context, "score", lambda outputs: next(scores))
    Int4(min_values=100)(quantized, context)
    assert (context.notes["int4"]["tensors"], len(context.notes["int4"]["left_in_8_bits"])) == (1, 1)


def test_a_file_without_8_bit_weights_stays_as_it_is(network: Any, context: Any) -> None:
    content = to_file(network, context)
    assert Int4()(content, context) == content
    assert "no 8-bit weights of 300 values or more" in context.event_log.messages[-1]


# Learned step sizes


def test_weights_lie_on_the_grid_and_gradients_reach_weights_and_step_sizes() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 5, 3)
    grid = learned_steps.LearnedSteps(layer.weight, 4)
    rounded = grid(layer.weight)
    levels = (rounded.detach() / grid.steps.detach().view(-1, 1, 1, 1)).round()
    torch.testing.assert_close(levels * grid.steps.detach().view(-1, 1, 1, 1), rounded.detach())
    assert levels.abs().max() <= 7
    rounded.square().sum().backward()
    assert layer.weight.grad is not None
    assert grid.steps.grad is not None
    assert layer.weight.grad.abs().sum() > 0
    assert grid.steps.grad.abs().min() > 0


def test_the_first_and_the_last_layer_and_small_ones_get_more_bits() -> None:
    network = StridedCnn(widths=(4, 4, 16, 16))
    assert learned_steps.attach(network, 4, 8, 300) == ["convs.2", "convs.3"]
    levels = [network.get_submodule(name).parametrizations.weight[0].levels for name in ("convs.0", "convs.1", "convs.2", "head")]
    assert levels == [127, 127, 7, 127]


def test_a_network_without_inner_layers_stays_as_it_is(context: Any) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    assert Qat()(network, context) is network
    assert context.notes["qat"]["layers"] == []


# A student by name


def test_a_student_by_name_has_its_own_architecture_and_fields(network: Any, context: Any) -> None:
    object.__setattr__(context.case, "model", ImageModel())
    step = Distill(architecture="cnn", fields={"widths": [8, 8, 16]}, effort=0.5)
    student = step(network, context)
    assert student.fields["widths"] == [8, 8, 16]
    assert (student.fields["side"], student.fields["classes"]) == (8, 2)


def test_an_unknown_architecture_or_field_of_a_student_is_named(network: Any, context: Any) -> None:
    with pytest.raises(UserError, match=r"vision has no architecture 'strided'; did you mean 'strided_cnn'\?"):
        Distill(architecture="strided")(network, context)
    with pytest.raises(UserError, match=r"the architecture 'cnn' has no field 'width'; did you mean 'widths'\?"):
        Distill(fields={"width": 3})(network, context)


def test_a_strided_network_pools_where_it_is_told_and_refuses_pictures_that_are_too_small() -> None:
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    padded = StridedCnn(widths=(16, 24, 24, 32, 32), stem_kernel=4, padding=True, pooled=(2, 4)).eval()
    assert padded(images).shape == StridedCnn().eval()(images).shape == (2, 10)
    with pytest.raises(UserError, match="side=12 is too small for 4 layers: nothing is left of the map after layer 2"):
        StridedCnn(side=12)
    with pytest.raises(UserError, match=r"pooled=\[9\]: expected positions in widths, 0 to 3"):
        StridedCnn(pooled=(9,))


# A teacher that answers once


def test_a_teacher_answers_each_variant_once_and_the_same_answers_serve_the_next_step(
    network: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(context, "targets", context.targets.astype(np.int64))
    monkeypatch.setattr(type(context.case), "batch_augmentation", lambda _: lambda images, uniforms: images.flip(3).float())
    lesson = teacher_training.teach(network, context, 2)
    rows = len(context.inputs)
    assert (lesson.variants, lesson.inputs.dtype.name) == (2, "uint8")
    assert lesson.inputs.shape == (2 * rows, 1, 8, 8)
    np.testing.assert_array_equal(lesson.inputs[:rows], context.inputs[..., ::-1])
    np.testing.assert_array_equal(lesson.targets[:rows, 0], context.targets)
    with torch.no_grad():
        expected = network(torch.from_numpy(lesson.inputs[:8])).numpy()
    np.testing.assert_allclose(lesson.targets[:8, 1:], expected, atol=1e-5)
    assert teacher_training.teach(network, context, 2) is lesson


def test_epochs_over_all_variants_count_for_each_and_are_at_least_as_many_as_passes(
    network: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def fit(*_: Any, training: Any, **__: Any) -> Any:
        epochs.append(training.epochs)
        raise StopIteration

    monkeypatch.setattr(type(context.case), "batch_augmentation", lambda _: lambda images, uniforms: images)
    monkeypatch.setattr(trainer, "fit", fit)
    for variants, passes in ((0, 5), (2, 0), (2, 5), (1, 5)):
        with pytest.raises(StopIteration):
            Distill(effort=1.5, variants=variants, passes=passes)(network, context)
    assert epochs == [6, 3, 5, 6]


def test_without_augmentation_one_variant_is_all_there_is(network: Any, context: Any) -> None:
    assert teacher_training.teach(network, context, 8).variants == 1
    assert teacher_training.teach(network, context, 0).variants == 0
