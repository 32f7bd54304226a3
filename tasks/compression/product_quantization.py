"""A large table of vectors becomes a small book of pieces and, for every row, the numbers of its pieces: one byte each.

Product quantization (Jegou et al. 2011; for text Joulin et al. 2016, arXiv 1612.03651). Row 0, which stands for nothing,
keeps its exact value.

Legend: V rows, D width, M pieces of a row, P numbers of a piece.
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

MIN_ROWS, MIN_WIDTH = 2048, 4
"""Smaller and narrower tables are not worth a book."""
PIECES = 256
ITERATIONS = 12
SAMPLE_ROWS = 16_384
BLOCK_ROWS = 8192


def coded(model: ModelProto, piece: int, seed: int) -> list[str]:
    """Put a book in the place of every large table that is only looked up in; the names of the nodes that now do so.

    `piece` numbers of a row share one byte; a width that it does not divide is cut into pieces of 1.
    """
    graph = model.graph
    ranks = _ranks(model)
    made: list[str] = []
    for table in list(graph.initializer):
        readers = [node for node in graph.node if table.name in node.input]
        if not readers or not all(_looks_up(node, table.name) and node.input[1] in ranks for node in readers):
            continue
        values_VD = numpy_helper.to_array(table)
        if (
            values_VD.ndim != 2
            or values_VD.dtype != np.float32
            or values_VD.shape[0] < MIN_ROWS
            or values_VD.shape[1] < MIN_WIDTH
        ):
            continue
        width = piece if values_VD.shape[1] % piece == 0 else 1
        book, codes_VM = fit_codebook(values_VD, width, seed)
        names = {part: f"{table.name}_{part}" for part in ("codes", "book", "places")}
        places_M = np.arange(codes_VM.shape[1], dtype=np.int32) * PIECES
        parts: dict[str, NDArray[Any]] = {"codes": codes_VM, "book": book.reshape(-1, width), "places": places_M}
        graph.initializer.extend(numpy_helper.from_array(value, names[part]) for part, value in parts.items())
        for node in readers:
            nodes = _reading(node, names, ranks[node.input[1]], values_VD.shape[1])
            graph.initializer.append(
                numpy_helper.from_array(np.array([*[0] * ranks[node.input[1]], values_VD.shape[1]]), f"{node.name}_shape")
            )
            at = list(graph.node).index(node)
            graph.node.remove(node)
            for offset, new in enumerate(nodes):
                graph.node.insert(at + offset, new)
            made += [new.name for new in nodes]
        graph.initializer.remove(table)
    return made


def fit_codebook(values_VD: Floats, piece: int, seed: int) -> tuple[Floats, Codes]:
    """The book (M, 256, P) and each row's pieces in it (V, M), by k-means; entry 0 of each book is row 0's own."""
    pieces_MVP = values_VD.reshape(len(values_VD), -1, piece).transpose(1, 0, 2)
    books, codes = [], []
    for number, pieces_VP in enumerate(pieces_MVP):
        book = _means(pieces_VP, np.random.default_rng([seed, number]))
        books.append(book)
        codes.append(_nearest(pieces_VP, book))
        codes[-1][0] = 0
    return np.stack(books).astype(np.float32), np.stack(codes, axis=1)


def read(book: Floats, codes_VM: Codes) -> Floats:
    """The rows (V, D) that book and codes stand for."""
    pieces_VMP = np.take_along_axis(book, codes_VM.T[:, :, None].astype(np.int64), axis=1).transpose(1, 0, 2)
    return np.asarray(pieces_VMP.reshape(len(codes_VM), -1), np.float32)


def _means(pieces_VP: Floats, dice: np.random.Generator) -> Floats:
    """256 typical pieces (256, P), the first that of row 0."""
    sample = pieces_VP[np.sort(dice.permutation(len(pieces_VP))[:SAMPLE_ROWS])]
    order = np.lexsort(sample.T)
    book = sample[order[np.linspace(0, len(order) - 1, PIECES).astype(int)]].astype(np.float64)
    for _ in range(ITERATIONS):
        book[0] = pieces_VP[0]
        codes = _nearest(sample, book)
        counts = np.bincount(codes, minlength=PIECES)
        sums = np.stack([np.bincount(codes, weights=column, minlength=PIECES) for column in sample.T.astype(np.float64)], axis=1)
        book = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book)
        empty = np.flatnonzero(counts == 0)
        book[empty] = sample[dice.integers(0, len(sample), len(empty))]
    book[0] = pieces_VP[0]
    return np.asarray(book, np.float32)


def _nearest(pieces_VP: NDArray[Any], book: NDArray[Any]) -> Codes:
    """The number of the nearest piece of the book, (V,)."""
    found = np.empty(len(pieces_VP), np.uint8)
    lengths = (book.astype(np.float64) ** 2).sum(1)
    for start in range(0, len(pieces_VP), BLOCK_ROWS):
        block = pieces_VP[start : start + BLOCK_ROWS].astype(np.float64)
        found[start : start + BLOCK_ROWS] = (lengths - 2 * block @ book.T.astype(np.float64)).argmin(1)
    return found


def _looks_up(node: NodeProto, table: str) -> bool:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 0 and list(node.input).count(table) == 1 and node.input[0] == table


def _reading(node: NodeProto, names: dict[str, str], rank: int, width: int) -> Sequence[NodeProto]:
    """Codes of the rows asked for, each moved to its own book, their pieces, and those put side by side."""
    step = {part: f"{node.name}_{part}" for part in ("bytes", "numbers", "moved", "pieces", "shape")}

    def make(kind: str, inputs: Sequence[str], output: str, **settings: Any) -> NodeProto:
        return helper.make_node(kind, list(inputs), [output], name=f"{node.name}_{kind}_{output.rpartition('_')[2]}", **settings)

    return [
        make("Gather", [names["codes"], node.input[1]], step["bytes"], axis=0),
        make("Cast", [step["bytes"]], step["numbers"], to=TensorProto.INT32),
        make("Add", [step["numbers"], names["places"]], step["moved"]),
        make("Gather", [names["book"], step["moved"]], step["pieces"], axis=0),
        make("Reshape", [step["pieces"], step["shape"]], node.output[0]),
    ]


def _ranks(model: ModelProto) -> dict[str, int]:
    """The number of dimensions of every tensor that is known to have a shape."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values if value.type.tensor_type.HasField("shape")}
