"""Networks of others, none of them the project's own, are pruned by half, fitted again, exported and quantized."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export
from tasks.compression.steps.prune import Prune
from tasks.compression.steps.quantize import Quantize
from tasks.core import onnx_model
from tasks.core.compression import parameter_count
from tasks.core.networks.own_network import OwnNetwork
from tasks.core.storage.artifacts import Checkpoint
from tasks.evaluation import model_size
from tasks.training import trainer
from tests.support import known_networks, tiny_images

pytestmark = pytest.mark.slow
SOURCE = Path(known_networks.__file__).read_text(encoding="utf-8")
TOKENS = 30


def token_context(folder: Path) -> Any:
    """Texts of ten tokens: class 1 holds more even ones."""
    generator = np.random.default_rng(0)
    inputs = generator.integers(1, TOKENS, (240, 10)).astype(np.int32)
    targets = ((inputs % 2 == 0).sum(1) > 4).astype(np.int64)
    held_out = slice(160, None)
    return tiny_images.compression_context(
        folder,
        inputs=inputs[:160],
        targets=targets[:160],
        validation_inputs=inputs[held_out],
        validation_targets=targets[held_out],
        score=lambda outputs: float((outputs.argmax(1) == targets[held_out]).mean()),
    )


def picture_context(folder: Path) -> Any:
    """The pictures of the toy use case, 16 pixels wide."""
    context = tiny_images.compression_context(folder)
    wide = {name: getattr(context, name).repeat(2, axis=2).repeat(2, axis=3) for name in ("inputs", "validation_inputs")}
    return replace(context, **wide)


PICTURES = {"inputs": "pictures", "mean": [0.2], "std": [0.2]}
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "ResNet18": (picture_context, PICTURES, {"classes": 2, "channels": 1, "width": 16}),
    "MobileNetV3": (picture_context, PICTURES, {"classes": 2, "channels": 1}),
    "VisionTransformer": (picture_context, PICTURES, {"classes": 2, "side": 16, "channels": 1, "patch": 4, "width": 64}),
    "BiLstm": (token_context, {"inputs": "tokens"}, {"classes": 2, "tokens": TOKENS, "width": 32, "hidden": 48}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_known_network_is_pruned_by_half_fitted_exported_and_quantized(name: str, tmp_path: Path) -> None:
    make_context, described, keywords = CASES[name]
    context = make_context(tmp_path / "scratch")
    torch.manual_seed(0)
    dense: Any = OwnNetwork(file="their_net.py", function=name, source=SOURCE, keywords=keywords, outputs=2, **described)
    dense.check(context.inputs[:2])
    training = replace(context.case.training, epochs=2, learning_rate=0.002)
    dense = trainer.fit(
        dense,
        context.inputs,
        context.targets,
        objective=lambda network, x, y: context.problem.loss(network(x), y, training),
        training=training,
    ).network
    pruned = Prune(ratio=0.5, effort=0.25, learning_rate_share=0.2)(dense, context)
    notes = context.notes["prune"]
    assert (notes["whole"], notes["not_traced"]) == ([], [])
    assert all(after < before for before, after in notes["channels"].values() if before > 8)
    assert parameter_count(pruned) < 0.45 * parameter_count(dense)
    assert model_size.macs(pruned, context.inputs) < 0.45 * model_size.macs(dense, context.inputs)

    Checkpoint(tmp_path / "saved", "vision").write(pruned, {})
    again = Checkpoint(tmp_path / "saved", "vision").read()[0]
    rows = context.validation_inputs
    assert torch.equal(again(torch.from_numpy(rows)), pruned(torch.from_numpy(rows)))

    before, after = (onnx_export.to_onnx(network, context.inputs, {}, "known") for network in (dense, again))
    assert onnx_export.parity(again, after, rows, 1e-4)["max_difference"] < 1e-4
    assert len(after) < 0.5 * len(before)
    for count in (1, 5):
        np.testing.assert_allclose(onnx_model.predict(after, rows[:count]), onnx_model.predict(after, rows)[:count], atol=1e-4)
    quantized = Quantize(max_drop=1.0)(after, context)
    assert len(quantized) < len(after)
    assert np.isfinite(onnx_model.predict(quantized, rows)).all()
