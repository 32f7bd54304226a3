"""Weights in 16 bits, matrices as products of thin ones, and fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tasks.compression import onnx_export
from tasks.compression.steps.cast import Cast
from tasks.compression.steps.finetune import Finetune
from tasks.compression.steps.lowrank import Lowrank
from tasks.compression.steps.qat import Qat
from tasks.core import onnx_model
from tasks.core.errors import UserError
from tests.support import tiny_images


@pytest.fixture(scope="module")
def network() -> Any:
    return tiny_images.fitted_network()


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return tiny_images.compression_context(tmp_path)


@pytest.mark.parametrize(("to", "tolerance"), [("fp16", 0.01), ("bf16", 0.05)])
def test_large_weights_take_two_bytes_each_and_answers_hardly_change(
    network: Any, context: Any, to: Any, tolerance: float
) -> None:
    content = onnx_export.to_onnx(network, context.inputs, {}, "bars")
    half = Cast(to=to)(content, context)
    large = [tensor for tensor in onnx_model.from_bytes(content).graph.initializer if np.prod(tensor.dims) >= 256]
    assert context.notes["cast"] == {"tensors": len(large)}
    assert len(content) - len(half) > 0.9 * 2 * sum(np.prod(tensor.dims) for tensor in large)
    before, after = (onnx_model.predict(each, context.validation_inputs) for each in (content, half))
    np.testing.assert_allclose(after, before, atol=tolerance * np.abs(before).max())


def matrix_file(kind: str, matrix: Any) -> bytes:
    """A file that multiplies rows (N, 40) by a matrix, or looks rows (N, 3) up in it."""
    weight = numpy_helper.from_array(matrix.T.copy() if kind == "Gemm" else matrix, "weight")
    nodes = {
        "MatMul": onnx.helper.make_node("MatMul", ["inputs", "weight"], ["outputs"]),
        "Gemm": onnx.helper.make_node("Gemm", ["inputs", "weight", "bias"], ["outputs"], transB=1),
        "Gather": onnx.helper.make_node("Gather", ["weight", "inputs"], ["outputs"]),
    }
    bias = numpy_helper.from_array(np.arange(matrix.shape[1], dtype=np.float32), "bias")
    lookup = kind == "Gather"
    inputs = onnx.helper.make_tensor_value_info(
        "inputs", TensorProto.INT64 if lookup else TensorProto.FLOAT, ["batch", 3 if lookup else 40]
    )
    shape = ["batch", 3, matrix.shape[1]] if lookup else ["batch", matrix.shape[1]]
    outputs = onnx.helper.make_tensor_value_info("outputs", TensorProto.FLOAT, shape)
    initializers = [weight, bias] if kind == "Gemm" else [weight]
    graph = onnx.helper.make_graph([nodes[kind]], "one", [inputs], [outputs], initializers)
    return onnx_model.to_bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10))


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "Gather"])
def test_a_matrix_of_low_rank_becomes_two_thin_ones_with_the_same_answers(context: Any, kind: str) -> None:
    generator = np.random.default_rng(0)
    matrix = (generator.normal(size=(40, 3)) @ generator.normal(size=(3, 60))).astype(np.float32)
    content = matrix_file(kind, matrix)
    thin = Lowrank(keep=0.9999)(content, context)
    assert context.notes["lowrank"]["ranks"] == {"weight": [*(matrix.T if kind == "Gemm" else matrix).shape, 3]}
    assert len(thin) < 0.3 * len(content)
    rows = generator.integers(0, 40, (5, 3)) if kind == "Gather" else generator.normal(size=(5, 40)).astype(np.float32)
    before, after = (onnx_model.predict(each, rows) for each in (content, thin))
    assert np.abs(after - before).max() < 0.02 * np.abs(before).max()


def test_a_matrix_of_full_rank_stays_as_it_is(context: Any) -> None:
    content = matrix_file("MatMul", np.eye(40, 60, dtype=np.float32))
    Lowrank(keep=0.9999)(content, context)
    assert context.notes["lowrank"]["ranks"] == {}


def test_fine_tuning_trains_a_copy_and_an_exported_file_has_nothing_to_train(network: Any, context: Any) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fitted = Finetune(effort=0.5)(network, context)
    assert fitted.fields == network.fields
    assert not torch.equal(fitted.convs[1].weight, network.convs[1].weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    exported = torch.nn.Identity()
    exported.onnx_bytes = bytes  # type: ignore[assignment]
    with pytest.raises(UserError, match="an ONNX file has no weights to train"):
        Finetune()(exported, context)


@pytest.mark.parametrize(("step", "name", "share"), [(Finetune(), "finetune", 0.3), (Qat(), "qat", 0.2)])
def test_steps_that_train_on_declare_the_same_parameters_and_refuse_a_file_by_their_own_name(
    context: Any, step: Any, name: str, share: float
) -> None:
    assert (step.effort, step.learning_rate_share, step.teacher_share) == (1.0, share, 0.7)
    fields = type(step).__pydantic_fields__
    assert all(fields[each].description for each in ("effort", "learning_rate_share", "variants", "passes"))
    exported = torch.nn.Identity()
    exported.onnx_bytes = bytes  # type: ignore[assignment]
    with pytest.raises(UserError, match=f"'distill' it into a network first, or leave '{name}' out"):
        step(exported, context)
