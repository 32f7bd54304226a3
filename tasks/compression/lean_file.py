"""A file without what no runtime needs: long names, shapes of inner tensors, zero points that are 0, equal constants.

In a file of some ten thousand weights this is a sixth of the bytes. The outputs stay the same up to the rounding of a float.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, product
from string import ascii_letters
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from tasks.core import onnx_model

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

SYMMETRIC_TYPES = (TensorProto.INT8, TensorProto.INT32, TensorProto.INT4)
"""Types of quantized weights and biases whose zero point is 0 by default."""


def to_lean_bytes(model: ModelProto) -> bytes:
    """The model, changed in place, as the bytes of a small file with the same outputs and metadata.

    A model with functions or nested graphs keeps its names.
    """
    graph = model.graph
    del graph.value_info[:]
    for node in graph.node:
        node.doc_string = ""
    if not model.functions and not any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        drop_zero_points(graph)
        merge_constants(graph)
        shorten_names(graph)
    return onnx_model.to_bytes(model)


def drop_zero_points(graph: GraphProto) -> None:
    """Remove the zero points of constant weights and biases that are 0, which is their default."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) < 3 or node.input[2] not in constants:
            continue
        weight = constants.get(node.input[0])
        if weight is None or weight.data_type not in SYMMETRIC_TYPES:
            continue
        if not numpy_helper.to_array(constants[node.input[2]]).astype(np.int32).any():
            del node.input[2]
    _remove_unread(graph)


def merge_constants(graph: GraphProto) -> None:
    """Keep one of the constants that are equal in type, shape and values."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for tensor in graph.initializer:
        if tensor.name in outputs:
            continue
        key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        instead[tensor.name] = first.setdefault(key, tensor.name)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    _remove_unread(graph)


def shorten_names(graph: GraphProto) -> None:
    """Name tensors by letters in the order in which nodes name them, and nodes not at all; inputs and outputs keep theirs."""
    fixed = {value.name for value in [*graph.input, *graph.output]} | {""}
    free = (name for name in _letters() if name not in fixed)
    short = {name: name for name in fixed}

    def rename(name: str) -> str:
        if name not in short:
            short[name] = next(free)
        return short[name]

    for node in graph.node:
        node.name = ""
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = rename(tensor.name)
    graph.name = "graph"


def _letters() -> Iterator[str]:
    for length in count(1):
        for letters in product(ascii_letters, repeat=length):
            yield "".join(letters)


def _remove_unread(graph: GraphProto) -> None:
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
