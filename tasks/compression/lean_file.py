"""A file without what is the default or there twice: zero points that are 0, and equal constants.

Together with short names (`onnx_export.with_short_names`) this is a sixth of the bytes of a file of ten thousand weights. The
outputs stay the same up to the rounding of a float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from tasks.compression import onnx_export
from tasks.core import onnx_model

if TYPE_CHECKING:
    from onnx import GraphProto

SYMMETRIC_TYPES = (TensorProto.INT8, TensorProto.INT32, TensorProto.INT4)
"""Types of quantized weights and biases whose zero point is 0 by default."""


def without_defaults(content: bytes) -> bytes:
    """The file without zero points of weights that are 0, and with equal constants once.

    A file with functions or nested graphs stays as it is.
    """
    model = onnx_model.from_bytes(content)
    graph = model.graph
    if model.functions or any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return content
    drop_zero_points(graph)
    merge_constants(graph)
    onnx_export.remove_unused(model)
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


def merge_constants(graph: GraphProto) -> None:
    """Let all nodes read the first one of the constants that are equal in type, shape and values."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for tensor in graph.initializer:
        if tensor.name not in outputs:
            key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
            instead[tensor.name] = first.setdefault(key, tensor.name)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
