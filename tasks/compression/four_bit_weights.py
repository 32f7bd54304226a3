"""8-bit weights of a quantized ONNX file as 4-bit ones, with the scales of weights and biases that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tasks.compression import onnx_export
from tasks.core import onnx_model

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

OPSET = 21
"""The first with 4-bit integers (ONNX 1.16)."""
LEVELS = 7
SHRINKAGES = np.linspace(1.0, 0.6, 41)
"""The largest value on the grid as a share of the largest weight, of which the one with the least squared error is taken."""
EXACT = 0.51
"""A value that lies this near to its grid, in steps of the 8-bit grid, was on it before it was rounded to 8 bits."""
READERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class FourBitWeight:
    """A weight of the file on a grid of 4 bits."""

    name: str
    """The name of its constant."""
    values: NDArray[np.int8]
    """-7 .. 7, in the shape of the weight."""
    scales: NDArray[np.float32]
    """The step of the grid, of each channel or of the whole weight, in the shape of the 8-bit scales."""
    error: float
    """The squared error as a share of the weight's squares; 0 where the weights were on such a grid."""


def find(model: ModelProto, min_values: int) -> list[FourBitWeight]:
    """The 8-bit weights of at least `min_values` values that convolutions and matrix products read, on grids of 4 bits."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    rounded = {}
    for node, _ in _weight_nodes(graph):
        tensor = constants[node.input[0]]
        if int(np.prod(tensor.dims)) >= min_values and _is_symmetric(node, constants):
            values, scales = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
            rounded[tensor.name] = round_to_grid(tensor.name, values, scales, axis_of(node))
    return list(rounded.values())


def round_to_grid(name: str, values: NDArray[np.int8], scales: NDArray[np.float32], axis: int) -> FourBitWeight:
    """8-bit `values` times `scales` on the nearest grid of 4 bits; `axis` is the channels' if there is a scale for each."""
    by_channel = np.moveaxis(values, axis, 0).reshape(len(scales), -1) if scales.ndim else values.reshape(1, -1)
    rows = by_channel.astype(np.float64)  # in steps of the 8-bit grid
    steps, exact = np.ones(len(rows)), np.ones(len(rows), bool)
    for channel, row in enumerate(rows):
        steps[channel], exact[channel] = _step_of(row)
    rounded = np.clip(np.round(rows / steps[:, None]), -LEVELS, LEVELS)
    errors = np.square(rounded * steps[:, None] - rows).sum(axis=1) * ~exact
    weights = np.square(scales.astype(np.float64).reshape(-1))
    total = float((np.square(rows).sum(axis=1) * weights).sum())
    if scales.ndim:
        moved = [values.shape[axis], *(size for place, size in enumerate(values.shape) if place != axis)]
        rounded = np.moveaxis(rounded.reshape(moved), 0, axis)
    error = float((errors * weights).sum()) / total if total else 0.0
    new_scales = (steps.reshape(scales.shape) * scales).astype(np.float32)
    return FourBitWeight(name, rounded.reshape(values.shape).astype(np.int8), new_scales, error)


def _step_of(row: NDArray[np.float64]) -> tuple[float, bool]:
    """The step of a channel's grid, and whether its values were on it before they were rounded to 8 bits."""
    largest = float(np.abs(row).max())
    if largest == 0:
        return 1.0, True
    for levels in range(1, LEVELS + 1):
        step = largest / levels
        if np.abs(np.round(row / step) * step - row).max() <= EXACT:
            return step, True
    steps = SHRINKAGES * largest / LEVELS
    grids = np.clip(np.round(row[None] / steps[:, None]), -LEVELS, LEVELS) * steps[:, None]
    return float(steps[np.square(grids - row[None]).sum(axis=1).argmin()]), False


def store(content: bytes, weights: Sequence[FourBitWeight]) -> bytes:
    """The file with these weights in 4 bits: INT4 constant, Cast to INT8, DequantizeLinear."""
    model = onnx_model.from_bytes(content)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {weight.name: weight for weight in weights}
    producers = {name: node for node in graph.node for name in node.output}
    for node, reader in list(_weight_nodes(graph)):
        weight = chosen.get(node.input[0])
        if weight is None:
            continue
        ratio = weight.scales.astype(np.float64) / numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        _set_constant(graph, node, 1, weight.scales)
        if len(reader.input) > 2 and (bias := producers.get(reader.input[2])) is not None and bias.op_type == "DequantizeLinear":
            values, scales = (numpy_helper.to_array(constants[name]).astype(np.float64) for name in bias.input[:2])
            moved = scales * ratio.reshape(scales.shape)
            _set_constant(graph, bias, 0, np.round(values * scales / moved).astype(np.int32))
            _set_constant(graph, bias, 1, moved.astype(np.float32))
    for weight in weights:
        (tensor,) = [tensor for tensor in graph.initializer if tensor.name == weight.name]
        packed = f"{weight.name}_int4"
        for node in graph.node:
            node.input[:] = [f"{weight.name}_int8" if name == weight.name else name for name in node.input]
        shape = weight.values.shape
        tensor.CopyFrom(TensorProto(name=packed, data_type=TensorProto.INT4, dims=shape, raw_data=pack(weight.values)))
        graph.node.insert(0, helper.make_node("Cast", [packed], [f"{weight.name}_int8"], to=TensorProto.INT8))
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, OPSET)
    model.ir_version = max(model.ir_version, 10)
    onnx_export.remove_unused(model)
    return onnx_model.to_bytes(model)


def pack(values: NDArray[np.int8]) -> bytes:
    """Two values in a byte, the first in the lower four bits, as ONNX stores INT4."""
    flat = np.append(values.ravel(), np.zeros(values.size % 2, np.int8)).astype(np.uint8)
    return ((flat[0::2] & 15) | ((flat[1::2] & 15) << 4)).astype(np.uint8).tobytes()


def axis_of(node: NodeProto) -> int:
    """The axis of a DequantizeLinear's channels, 1 by default."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 1)


def _weight_nodes(graph: GraphProto) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Each DequantizeLinear of a constant int8 weight, and the convolution or matrix product that reads it."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    dequantized = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in constants
        and constants[node.input[0]].data_type == TensorProto.INT8
    }
    for reader in graph.node:
        if reader.op_type in READERS:
            for name in reader.input[:2]:
                if name in dequantized:
                    yield dequantized[name], reader


def _is_symmetric(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    return len(node.input) < 3 or not numpy_helper.to_array(constants[node.input[2]]).any()


def _set_constant(graph: GraphProto, node: NodeProto, place: int, values: NDArray[np.generic]) -> None:
    """Give a node a constant of its own as the input at `place`."""
    name = f"{node.output[0]}_input_{place}"
    graph.initializer.append(numpy_helper.from_array(values, name))
    node.input[place] = name
