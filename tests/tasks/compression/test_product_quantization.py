"""Product quantization keeps the outputs nearly the same with far fewer bytes, and padding stays zero."""

from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export, product_quantization
from tasks.core import onnx_model, registry

TOKENS = 4096


def clustered(width: Any, seed: Any = 0) -> Any:
    """A table (TOKENS, width) with 60 distinct rows."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((60, width)).astype(np.float32)[generator.integers(0, 60, TOKENS)]


@pytest.mark.parametrize(("width", "piece"), [(8, 2), (8, 4), (7, 1)])
def test_a_table_of_few_distinct_rows_is_decoded_nearly_exactly(width: Any, piece: Any) -> None:
    values = clustered(width)
    codebooks, codes = product_quantization.fit_codebook(values, piece, seed=1)
    assert codes.shape == (TOKENS, width // piece)
    assert codes.dtype == np.uint8
    assert np.abs(product_quantization.decode(codebooks, codes) - values).max() < 0.05


def test_row_0_keeps_its_value_and_the_same_seed_gives_the_same_codes() -> None:
    values = np.random.default_rng(0).standard_normal((TOKENS, 8)).astype(np.float32)
    values[0] = 0
    codebooks, codes = product_quantization.fit_codebook(values, 2, seed=1)
    assert not product_quantization.decode(codebooks, codes)[0].any()
    again = product_quantization.fit_codebook(values, 2, seed=1)
    assert np.array_equal(codes, again[1])
    assert np.array_equal(codebooks, again[0])


@pytest.mark.parametrize("name", ["bag", "text_lstm"])
def test_a_quantized_file_gives_nearly_the_same_outputs_with_fewer_bytes(name: Any) -> None:
    torch.manual_seed(0)
    network = registry.build_network("nlp", name, {"tokens": TOKENS, "classes": 3, "width": 16}).eval()
    with torch.no_grad():
        network.embedding.weight.copy_(torch.from_numpy(clustered(16)))
        network.embedding.weight[0] = 0
    tokens = np.random.default_rng(0).integers(1, TOKENS, (8, 12)).astype(np.int32)
    tokens[:4, 6:] = 0
    model = onnx_export.to_onnx(network, tokens, {}, "nlp")
    graph = onnx_model.from_bytes(model)
    assert product_quantization.quantize_tables(graph, 2, seed=1)
    onnx_export.set_metadata(graph, onnx_model.read_metadata(graph))
    quantized = onnx_model.to_bytes(graph)
    assert len(quantized) < 0.75 * len(model)
    expected, outputs = onnx_model.predict(model, tokens), onnx_model.predict(quantized, tokens)
    np.testing.assert_allclose(outputs, expected, atol=0.05 * np.abs(expected).max())


def test_a_file_without_a_large_table_is_not_changed() -> None:
    network = registry.build_network("nlp", "bag", {"tokens": 100, "classes": 3}).eval()
    graph = onnx_model.from_bytes(onnx_export.to_onnx(network, np.ones((2, 5), np.int32), {}, "nlp"))
    before = graph.SerializeToString(deterministic=True)
    assert product_quantization.quantize_tables(graph, 2, seed=1) == []
    assert graph.SerializeToString(deterministic=True) == before
