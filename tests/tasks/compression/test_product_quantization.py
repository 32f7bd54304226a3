"""A large table becomes codes and a book: it answers nearly the same from far fewer bytes, and nothing stays nothing."""

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export, product_quantization
from tasks.core import onnx_model, registry

TOKENS = 4096


def clustered(width, seed=0):
    """Rows of a table that hold few kinds of values."""
    dice = np.random.default_rng(seed)
    return dice.standard_normal((60, width)).astype(np.float32)[dice.integers(0, 60, TOKENS)]


@pytest.mark.parametrize(("width", "piece"), [(8, 2), (8, 4), (7, 1)])
def test_rows_of_few_kinds_are_kept_as_they_are(width, piece):
    values = clustered(width)
    book, codes = product_quantization.fit_codebook(values, piece, seed=1)
    assert codes.shape == (TOKENS, width // piece)
    assert codes.dtype == np.uint8
    assert np.abs(product_quantization.read(book, codes) - values).max() < 0.05


def test_row_0_keeps_its_value_and_the_same_seed_gives_the_same_codes():
    values = np.random.default_rng(0).standard_normal((TOKENS, 8)).astype(np.float32)
    values[0] = 0
    book, codes = product_quantization.fit_codebook(values, 2, seed=1)
    assert not product_quantization.read(book, codes)[0].any()
    again = product_quantization.fit_codebook(values, 2, seed=1)
    assert np.array_equal(codes, again[1])
    assert np.array_equal(book, again[0])


@pytest.mark.parametrize("name", ["bag", "text_lstm"])
def test_a_file_with_codes_answers_nearly_the_same_from_fewer_bytes(name):
    torch.manual_seed(0)
    network = registry.build_network("nlp", name, {"tokens": TOKENS, "classes": 3, "width": 16}).eval()
    with torch.no_grad():
        network.embedding.weight.copy_(torch.from_numpy(clustered(16)))
        network.embedding.weight[0] = 0
    numbers = np.random.default_rng(0).integers(1, TOKENS, (8, 12)).astype(np.int32)
    numbers[:4, 6:] = 0
    model = onnx_export.to_onnx(network, numbers, {}, "nlp")
    graph = onnx_model.from_bytes(model)
    assert product_quantization.coded(graph, 2, seed=1)
    onnx_export.finish(graph, onnx_model.read_metadata(graph))
    coded = onnx_model.to_bytes(graph)
    assert len(coded) < 0.75 * len(model)
    expected, found = onnx_model.predict(model, numbers), onnx_model.predict(coded, numbers)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_a_file_without_a_large_table_stays_as_it_is():
    network = registry.build_network("nlp", "bag", {"tokens": 100, "classes": 3}).eval()
    graph = onnx_model.from_bytes(onnx_export.to_onnx(network, np.ones((2, 5), np.int32), {}, "nlp"))
    before = graph.SerializeToString(deterministic=True)
    assert product_quantization.coded(graph, 2, seed=1) == []
    assert graph.SerializeToString(deterministic=True) == before
