"""What each layer of a network costs and bears: its bytes, and what rounding its weights alone does to the answers.

The weights of one layer at a time are rounded to 8 and to 4 bits per output channel; all else stays in float.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import numpy_helper

from tasks.core import onnx_model

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from tasks.core.compression import CompressionContext

BITS = (8, 4)
ROWS, MIN_ROWS = 512, 16
"""The most and the least validation rows, the first ones, on which answers are compared."""
MACS = 120_000_000_000
"""About as many multiply-accumulates are spent in all: seconds."""
CHANNEL_AXES = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1, "Gather": -1}
"""The axis of a weight's output channels; that of a Gemm depends on `transB`."""


def measure(content: bytes, context: CompressionContext, macs: int) -> list[dict[str, Any]]:
    """One entry per layer with weights, in the order of the graph.

    `layer` (a number from 0), `operator`, `shape`, `weights`, `bytes` in float and by bits, and `error` and `changed` by bits:
    the mean squared change of the outputs as a share of their variance, and the share of rows whose largest output is another
    one. `macs` are the network's multiply-accumulates a row; a large network is asked for fewer rows, at least `MIN_ROWS`.
    """
    model = onnx_model.from_bytes(content)
    calls = 1 + len(BITS) * sum(1 for _ in layers(model))
    inputs = context.validation_inputs[: max(MIN_ROWS, min(ROWS, MACS // max(1, macs * calls)))]
    before = onnx_model.predict(content, inputs)
    spread = max(float(before.var()), 1e-12)
    entries = []
    for number, (node, name, axis) in enumerate(layers(model)):
        weight = numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))
        entry: dict[str, Any] = {"layer": number, "operator": node.op_type, "shape": list(weight.shape), "weights": weight.size}
        entry["bytes"] = {"32": 4 * weight.size, **{str(bits): -(-bits * weight.size // 8) for bits in BITS}}
        entry |= {"error": {}, "changed": {}}
        for bits in BITS:
            after = onnx_model.predict(with_weight(content, name, rounded(weight, bits, axis)), inputs)
            entry["error"][str(bits)] = float(np.square(np.subtract(after, before)).mean()) / spread
            entry["changed"][str(bits)] = float((after.argmax(-1) != before.argmax(-1)).mean())
        entries.append(entry)
    return entries


def layers(model: ModelProto) -> Iterator[tuple[NodeProto, str, int]]:
    """Each node with float weights, the name of its weights, and the axis of their output channels."""
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type == 1 and len(tensor.dims) >= 2}
    for node in model.graph.node:
        place = 0 if node.op_type == "Gather" else 1
        if len(node.input) <= place or node.input[place] not in floats:
            continue
        if node.op_type == "Gemm":
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            yield node, node.input[place], 0 if transposed else 1
        elif node.op_type in CHANNEL_AXES:
            yield node, node.input[place], CHANNEL_AXES[node.op_type]


def rounded(weight: NDArray[Any], bits: int, axis: int) -> NDArray[np.float32]:
    """The weight on a symmetric grid of `bits` bits for each output channel."""
    others = tuple(place for place in range(weight.ndim) if place != axis % weight.ndim)
    step = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-12) / (2 ** (bits - 1) - 1)
    values: NDArray[np.float32] = (np.round(weight / step) * step).astype(np.float32)
    return values


def with_weight(content: bytes, name: str, values: NDArray[np.float32]) -> bytes:
    """The file with other values of one constant."""
    model = onnx_model.from_bytes(content)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(values, name))
    return bytes(model.SerializeToString())
