"""A linear model on tf-idf weights of term counts as an ONNX graph: its inputs are those of `tasks.text.term_counts`.

The weight of a term is (1 + log count) times its inverse document frequency; the words and word pairs of a text, and its
character n-grams, have Euclidean norm 1 each (sublinear tf-idf, Manning et al. 2008, section 6.4). Only the weights of
the terms in the text are read, so that the time does not depend on the size of the vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.problems.baselines.onnx_graph import Graph

if TYPE_CHECKING:
    from onnx import ModelProto

SMALLEST_NORM = 1e-20


def to_onnx(idf_V: Any, words: int, weights_KV: Any, bias_K: Any) -> ModelProto:
    """The graph from numbers and counts `inputs` (N, L, 2) to `outputs` (N, K); the terms from number `words` are n-grams."""
    graph = Graph(np.dtype(np.int32), ["terms", 2])
    numbers = graph.add("Gather", "inputs", graph.constant(0, np.int64), axis=2)
    counts = graph.cast(graph.add("Gather", "inputs", graph.constant(1, np.int64), axis=2))
    one = graph.constant(1)
    # 1 + log count, and 0 for a count of 0
    tf = graph.add("Add", graph.add("Min", counts, one), graph.add("Log", graph.add("Max", counts, one)))
    values = graph.add("Mul", tf, graph.add("Gather", graph.constant(idf_V), numbers))
    if words in (0, len(idf_V)):
        normed = _normed(graph, values)
    else:
        is_word = graph.cast(graph.add("Less", numbers, graph.constant(words, np.int32)))
        of_words = graph.add("Mul", values, is_word)
        normed = graph.add("Add", _normed(graph, of_words), _normed(graph, graph.add("Sub", values, of_words)))
    rows = graph.add("Gather", graph.constant(np.transpose(weights_KV)), numbers)
    ones = [graph.constant([1], np.int64)] * 2
    products = graph.add("MatMul", graph.add("Unsqueeze", normed, ones[0]), rows)
    sums = graph.add("Squeeze", products, ones[1])
    return graph.finish(graph.add("Add", sums, graph.constant(bias_K)), len(bias_K))


def _normed(graph: Graph, values: str) -> str:
    """Values (N, L) with Euclidean norm 1 in each row; a row of zeros stays."""
    norm = graph.add("ReduceL2", values, graph.constant([1], np.int64), keepdims=1)
    return graph.add("Div", values, graph.add("Max", norm, graph.constant(SMALLEST_NORM)))
