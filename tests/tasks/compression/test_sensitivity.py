"""What a layer bears is measured by rounding it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.compression import four_bit_weights, onnx_export, sensitivity
from tasks.compression.steps.int4 import Int4
from tasks.compression.steps.quantize import Quantize
from tasks.core import onnx_model
from tasks.stages import compress
from tests.support import tiny_images


@pytest.fixture(scope="module")
def content() -> bytes:
    context = tiny_images.compression_context(Path())
    return onnx_export.to_onnx(tiny_images.fitted_network(), context.inputs, {}, "bars")


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return tiny_images.compression_context(tmp_path)


def test_each_layer_has_its_bytes_and_fewer_bits_cost_more(content: bytes, context: Any) -> None:
    entries = sensitivity.measure(content, context, 1000)
    assert [entry["operator"] for entry in entries] == ["Conv", "Conv", "Conv", "Gemm"]
    assert entries[0]["shape"] == [16, 1, 2, 2]
    assert entries[1]["bytes"] == {"32": 9216, "8": 2304, "4": 1152}
    assert all(0 < entry["error"]["8"] < entry["error"]["4"] for entry in entries)
    assert all(0 <= entry["changed"]["4"] <= 1 for entry in entries)
    assert sensitivity.measure(content, context, 1000) == entries


def test_the_report_of_dense_is_an_artifact(tmp_path: Path) -> None:
    context = tiny_images.stage_context(tmp_path, "compress", "dense")
    compress.main(context)
    entries = context.compressed("dense").json("sensitivity.json")
    assert [entry["layer"] for entry in entries] == [0, 1, 2, 3]
    assert set(entries[0]) == {"layer", "operator", "shape", "weights", "bytes", "error", "changed"}


def test_in_a_file_without_a_trained_grid_the_most_sensitive_weight_is_the_first_to_stay_in_8_bits(
    content: bytes, context: Any
) -> None:
    quantized = Quantize()(content, context)
    weights = four_bit_weights.find(onnx_model.from_bytes(quantized), 100)
    before = onnx_model.predict(quantized, context.validation_inputs)
    changes = {
        weight.name: float(
            np.square(onnx_model.predict(four_bit_weights.store(quantized, [weight]), context.validation_inputs) - before).mean()
        )
        for weight in weights
    }
    scores = iter([1.0, 0.5, 1.0])
    object.__setattr__(context, "score", lambda outputs: next(scores))
    Int4(min_values=100)(quantized, context)
    assert context.notes["int4"]["left_in_8_bits"] == [max(changes, key=lambda name: changes[name])]


def test_each_channel_is_rounded_on_its_own_grid() -> None:
    weight = np.array([[1.0, 0.6, 0.1], [100.0, 60.0, 10.0]], np.float32)
    np.testing.assert_allclose(sensitivity.rounded(weight, 4, 0), np.array([[7, 4, 1], [700, 400, 100]]) / 7, rtol=1e-6)
