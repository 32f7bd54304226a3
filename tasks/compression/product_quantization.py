"""Product quantization of embedding tables: each row becomes one-byte codes of centroids in a codebook.

Jegou et al. 2011; for text Joulin et al. 2016, arXiv 1612.03651. Row 0, the padding, keeps its exact value.

Legend: V rows, D width, M subvectors of a row, P width of a subvector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Codes = NDArray[np.uint8]

MIN_TABLE_ROWS, MIN_TABLE_WIDTH = 2048, 4
"""Smaller or narrower tables are not quantized."""
CENTROIDS = 256
"""Centroids per codebook: as many as one byte can number."""
ITERATIONS = 12
SAMPLE_ROWS = 16_384
BLOCK_ROWS = 8192


def quantize_tables(model: ModelProto, piece: int, seed: int) -> list[str]:
    """Replace, in place, every large table that is only looked up in by codes and a codebook.

    `piece` is the width of a subvector, whose values share one byte; a table whose width it does not divide gets 1.
    Returns the names of the nodes that replace the lookups, empty if there is no such table.
    """
    graph = model.graph
    ranks = _ranks(model)
    node_names: list[str] = []
    for table in list(graph.initializer):
        lookups = [node for node in graph.node if table.name in node.input]
        if not lookups or not all(_is_lookup(node, table.name) and node.input[1] in ranks for node in lookups):
            continue
        values_VD = numpy_helper.to_array(table)
        if (
            values_VD.ndim != 2
            or values_VD.dtype != np.float32
            or values_VD.shape[0] < MIN_TABLE_ROWS
            or values_VD.shape[1] < MIN_TABLE_WIDTH
        ):
            continue
        width = piece if values_VD.shape[1] % piece == 0 else 1
        codebook, codes_VM = fit_codebook(values_VD, width, seed)
        names = {part: f"{table.name}_{part}" for part in ("codes", "book", "places")}
        offsets_M = np.arange(codes_VM.shape[1], dtype=np.int32) * CENTROIDS
        parts: dict[str, NDArray[Any]] = {"codes": codes_VM, "book": codebook.reshape(-1, width), "places": offsets_M}
        graph.initializer.extend(numpy_helper.from_array(value, names[part]) for part, value in parts.items())
        for node in lookups:
            nodes = _lookup_nodes(node, names, ranks[node.input[1]], values_VD.shape[1])
            graph.initializer.append(
                numpy_helper.from_array(np.array([*[0] * ranks[node.input[1]], values_VD.shape[1]]), f"{node.name}_shape")
            )
            at = list(graph.node).index(node)
            graph.node.remove(node)
            for offset, new in enumerate(nodes):
                graph.node.insert(at + offset, new)
            node_names += [new.name for new in nodes]
        graph.initializer.remove(table)
    return node_names


def fit_codebook(values_VD: Floats, piece: int, seed: int) -> tuple[Floats, Codes]:
    """Codebooks (M, 256, P) and codes (V, M) by k-means; centroid 0 of each codebook is row 0's own subvector."""
    subvectors_MVP = values_VD.reshape(len(values_VD), -1, piece).transpose(1, 0, 2)
    codebooks, codes = [], []
    for number, subvectors_VP in enumerate(subvectors_MVP):
        codebook = _kmeans(subvectors_VP, np.random.default_rng([seed, number]))
        codebooks.append(codebook)
        codes.append(_nearest_centroids(subvectors_VP, codebook))
        codes[-1][0] = 0
    return np.stack(codebooks).astype(np.float32), np.stack(codes, axis=1)


def decode(codebooks: Floats, codes_VM: Codes) -> Floats:
    """The rows (V, D) that codebooks (M, 256, P) and codes stand for."""
    subvectors_VMP = np.take_along_axis(codebooks, codes_VM.T[:, :, None].astype(np.int64), axis=1).transpose(1, 0, 2)
    return np.asarray(subvectors_VMP.reshape(len(codes_VM), -1), np.float32)


def _kmeans(subvectors_VP: Floats, generator: np.random.Generator) -> Floats:
    """Centroids (256, P) by k-means, the first fixed to the subvector of row 0."""
    sample = subvectors_VP[np.sort(generator.permutation(len(subvectors_VP))[:SAMPLE_ROWS])]
    order = np.lexsort(sample.T)
    codebook = sample[order[np.linspace(0, len(order) - 1, CENTROIDS).astype(int)]].astype(np.float64)
    for _ in range(ITERATIONS):
        codebook[0] = subvectors_VP[0]
        codes = _nearest_centroids(sample, codebook)
        counts = np.bincount(codes, minlength=CENTROIDS)
        columns = sample.T.astype(np.float64)
        sums = np.stack([np.bincount(codes, weights=column, minlength=CENTROIDS) for column in columns], axis=1)
        codebook = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], codebook)
        empty = np.flatnonzero(counts == 0)
        codebook[empty] = sample[generator.integers(0, len(sample), len(empty))]
    codebook[0] = subvectors_VP[0]
    return np.asarray(codebook, np.float32)


def _nearest_centroids(subvectors_VP: NDArray[Any], codebook: NDArray[Any]) -> Codes:
    """The index of the nearest centroid, (V,)."""
    codes = np.empty(len(subvectors_VP), np.uint8)
    squares = (codebook.astype(np.float64) ** 2).sum(1)
    for start in range(0, len(subvectors_VP), BLOCK_ROWS):
        block = subvectors_VP[start : start + BLOCK_ROWS].astype(np.float64)
        codes[start : start + BLOCK_ROWS] = (squares - 2 * block @ codebook.T.astype(np.float64)).argmin(1)
    return codes


def _is_lookup(node: NodeProto, table: str) -> bool:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 0 and list(node.input).count(table) == 1 and node.input[0] == table


def _lookup_nodes(node: NodeProto, names: dict[str, str], rank: int, width: int) -> Sequence[NodeProto]:
    """The nodes of one lookup: gather codes, add each codebook's offset, gather centroids, and concatenate them."""
    tensors = {part: f"{node.name}_{part}" for part in ("bytes", "numbers", "moved", "pieces", "shape")}

    def make(kind: str, inputs: Sequence[str], output: str, **settings: Any) -> NodeProto:
        return helper.make_node(kind, list(inputs), [output], name=f"{node.name}_{kind}_{output.rpartition('_')[2]}", **settings)

    return [
        make("Gather", [names["codes"], node.input[1]], tensors["bytes"], axis=0),
        make("Cast", [tensors["bytes"]], tensors["numbers"], to=TensorProto.INT32),
        make("Add", [tensors["numbers"], names["places"]], tensors["moved"]),
        make("Gather", [names["book"], tensors["moved"]], tensors["pieces"], axis=0),
        make("Reshape", [tensors["pieces"], tensors["shape"]], node.output[0]),
    ]


def _ranks(model: ModelProto) -> dict[str, int]:
    """The number of dimensions of every tensor whose shape is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values if value.type.tensor_type.HasField("shape")}
