"""An exported ONNX file is a dense model: it answers, teaches and is quantized, but is neither trained nor pruned."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.compression import onnx_export
from tasks.compression.steps.distill import Distill
from tasks.compression.steps.prune import Prune
from tasks.compression.steps.quantize import Quantize
from tasks.core import onnx_model, registry
from tasks.core.compression import parameter_count
from tasks.core.errors import UserError
from tasks.core.networks.onnx_file import OnnxFile
from tasks.core.storage.artifacts import Checkpoint
from tasks.evaluation import model_size
from tasks.training import trainer
from tests.support import tiny_images


@pytest.fixture(scope="module")
def fitted() -> Any:
    return tiny_images.fitted_network()


@pytest.fixture(scope="module")
def content(fitted: Any) -> bytes:
    return onnx_export.to_onnx(fitted, tiny_images.compression_context(Path()).inputs, {}, "bars")


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return tiny_images.compression_context(tmp_path)


def test_it_answers_as_the_network_it_was_exported_from_and_is_exported_unchanged(
    fitted: Any, content: bytes, context: Any, tmp_path: Path
) -> None:
    network = OnnxFile.of(content, file="model.onnx", inputs=context.inputs, outputs=2)
    rows = torch.from_numpy(context.validation_inputs)
    torch.testing.assert_close(network(rows), fitted(rows), atol=1e-4, rtol=1e-4)
    assert torch.equal(deepcopy(network)(rows.float() + 0.2), network(rows)), "augmented pictures are floats"
    exported = onnx_export.to_onnx(network, context.inputs, {"classes": ["a", "b"]}, "bars")
    assert onnx_model.same_graph(exported, content)
    assert onnx_model.read_metadata(onnx_model.from_bytes(exported))["learnt"] == {"classes": ["a", "b"]}
    Checkpoint(tmp_path / "saved", "vision").write(network, {})
    assert torch.equal(Checkpoint(tmp_path / "saved", "vision").read()[0](rows), network(rows))


def test_its_size_is_read_from_its_graph(fitted: Any, content: bytes, context: Any) -> None:
    network = OnnxFile.of(content, file="model.onnx", inputs=context.inputs, outputs=2)
    weights = sum(conv.weight.numel() for conv in fitted.convs) + fitted.head.weight.numel()
    assert weights < parameter_count(network) < 1.1 * parameter_count(fitted)
    assert model_size.macs(network, context.inputs) == model_size.macs(fitted, context.inputs)


def test_it_is_not_trained_but_teaches_and_is_quantized(content: bytes, context: Any) -> None:
    network = OnnxFile.of(content, file="model.onnx", inputs=context.inputs, outputs=2)
    kept = trainer.fit(
        network, context.inputs, context.targets, objective=lambda *_: torch.zeros(()), training=context.case.training
    )
    assert (kept.epochs, kept.curves, kept.network) == (0, [], network)
    student = Distill(effort=2)(network, context)
    with torch.no_grad():
        assert context.score(student(torch.from_numpy(context.validation_inputs)).numpy()) > 0.8
    assert len(Quantize(max_drop=1.0)(onnx_export.to_onnx(network, context.inputs, {}, "bars"), context)) < len(content)
    with pytest.raises(UserError, match="an ONNX file has no layers to prune; 'distill' it into a smaller network"):
        Prune()(network, context)


def test_token_numbers_of_another_width_are_cast(context: Any) -> None:
    network: Any = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 2)).eval()
    network.fields = {}
    rows = np.random.default_rng(0).integers(0, 9, (6, 5))
    content = onnx_export.to_onnx(network, rows, {}, "nlp")
    narrow = OnnxFile.of(content, file="model.onnx", inputs=rows.astype(np.int32), outputs=2)
    torch.testing.assert_close(narrow(torch.from_numpy(rows.astype(np.int32))), network(torch.from_numpy(rows)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            np.zeros((2, 1, 9, 9), np.uint8),
            2,
            "takes uint8 (N, 1, 8, 8), the rows of this use case are uint8 (N, 1, 9, 9)",
        ),
        (np.zeros((2, 1, 8, 8), np.float32), 2, "the rows of this use case are float32 (N, 1, 8, 8)"),
        (np.zeros((2, 5), np.float32), 2, "the rows of this use case are float32 (N, 5)"),
        (np.zeros((2, 1, 8, 8), np.uint8), 3, "model.onnx gives (2, 2) for 2 rows; this use case needs (2, 3)"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit_are_refused(content: bytes, inputs: Any, outputs: int, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        OnnxFile.of(content, file="model.onnx", inputs=inputs, outputs=outputs)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_none_and_one_of_a_fixed_batch_are_refused(content: bytes, context: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"text")
    case = registry.build("use_cases", "vision", {"model": {"file": str(tmp_path / "model.onnx")}})
    state = {"classes": ["a", "b"], "channels": 1, "side": 8, "mean": [0.5], "std": [0.2]}
    with pytest.raises(UserError, match=r"model\.onnx is no ONNX model"):
        case.new_network(state, context.inputs)
    model = onnx_model.from_bytes(content)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(UserError, match="takes 1 rows at once; export it with a dynamic first dimension"):
        OnnxFile.of(model.SerializeToString(), file="model.onnx", inputs=context.inputs, outputs=2)
