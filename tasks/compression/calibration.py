"""Calibrate an ONNX classifier on validation rows: a temperature inside the file, and what its metadata says of uncertainty.

It serves any file from `inputs` to `outputs`, a network's or a classic model's. Files of other problems stay as they are.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tasks.compression import onnx_export
from tasks.core import onnx_model
from tasks.metrics import calibration, uncertainty
from tasks.problems.binary_classification import BinaryClassification
from tasks.problems.multiclass_classification import MulticlassClassification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import GraphProto, ModelProto

    from tasks.core.problem import PreprocessingState, Problem
    from tasks.core.use_case import Array
    from tasks.metrics.uncertainty import OutputKind

OUTPUT, UNCALIBRATED = "outputs", "uncalibrated_outputs"
EPSILON = 1e-6
LINEAR_IN_WEIGHTS = ("Gemm", "MatMul", "Conv")
"""Operators whose output is a product with their second input, plus their third."""
SUMS = ("Add", "Sub", "Sum", "Concat")
RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")


def output_kind(problem: Problem) -> OutputKind | None:
    """What the outputs of the problem's models are; None where they are no classes."""
    if isinstance(problem, BinaryClassification):
        return "event"
    return "classes" if isinstance(problem, MulticlassClassification) else None


def calibrate(
    model: bytes,
    problem: Problem,
    state: PreprocessingState,
    *,
    train_inputs: Array,
    validation_inputs: Array,
    validation_targets: Array,
    coverage: float,
) -> tuple[bytes, dict[str, Any]]:
    """The file with a temperature in it and the entry `bonsai.uncertainty`, and a report; unchanged for no classes.

    Class decisions stay: logits are scaled, and log-odds are scaled around the decision threshold. `coverage` is the share
    of rows whose prediction set is to hold the true class.
    """
    kind = output_kind(problem)
    if kind is None:
        return model, {}
    pivot = decision_log_odds(state) if kind == "event" else 0.0
    before = onnx_model.predict(model, validation_inputs)
    temperature = calibration.fit_temperature(before, validation_targets, kind, pivot)
    graph = onnx_model.from_bytes(model)
    metadata = onnx_model.read_metadata(graph)
    add_temperature(graph, temperature, pivot)
    onnx_export.set_metadata(graph, metadata)
    outputs = onnx_model.predict(onnx_model.to_bytes(graph), validation_inputs)
    entry = {
        "outputs": kind,
        "temperature": temperature,
        "rows": len(validation_inputs),
        "conformal": calibration.fit_conformal(outputs, validation_targets, kind, coverage),
        "out_of_distribution": calibration.fit_out_of_distribution(outputs, validation_inputs, train_inputs, state, kind),
    }
    onnx_export.set_metadata(graph, {**metadata, uncertainty.ENTRY: entry})
    losses = {
        name: calibration.log_loss(each, validation_targets, kind) for name, each in (("before", before), ("after", outputs))
    }
    return onnx_model.to_bytes(graph), {"temperature": temperature, "log_loss": losses}


def decision_log_odds(state: PreprocessingState) -> float:
    """The log-odds from which the event is predicted."""
    threshold = min(max(float(state.get("threshold", 0.5)), EPSILON), 1 - EPSILON)
    return math.log(threshold / (1 - threshold))


def add_temperature(model: ModelProto, temperature: float, pivot: float = 0.0) -> None:
    """Make `outputs` pivot + (outputs - pivot) / temperature.

    The factor goes into the weights that the outputs are a product of, where there are such weights, so that the model has no
    more operators than before; otherwise it is one operator more, and a pivot is another. A temperature of 1 leaves the model
    as it is.
    """
    if temperature == 1:
        return
    graph = model.graph
    for node in graph.node:
        node.output[:] = [UNCALIBRATED if name == OUTPUT else name for name in node.output]
        node.input[:] = [UNCALIBRATED if name == OUTPUT else name for name in node.input]
    (value,) = [value for value in graph.output if value.name == OUTPUT]
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    inverse = np.asarray(1 / temperature, dtype)
    last, added = UNCALIBRATED, []
    factors = linear_factors(graph, UNCALIBRATED)
    if factors:
        for tensor in factors:
            scaled = (numpy_helper.to_array(tensor).astype(np.float64) * float(inverse)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    else:
        graph.initializer.append(numpy_helper.from_array(inverse, "inverse_temperature"))
        last = "scaled_outputs"
        added.append(helper.make_node("Mul", [UNCALIBRATED, "inverse_temperature"], [last], "temperature"))
    if pivot != 0:
        shift = np.asarray(pivot * (1 - float(inverse)), dtype)
        graph.initializer.append(numpy_helper.from_array(shift, "temperature_shift"))
        added.append(helper.make_node("Add", [last, "temperature_shift"], [OUTPUT], "temperature_around_threshold"))
    graph.node.extend(added)
    if pivot == 0:
        for node in graph.node:
            node.output[:] = [OUTPUT if name == last else name for name in node.output]
            node.input[:] = [OUTPUT if name == last else name for name in node.input]


def linear_factors(graph: GraphProto, name: str) -> list[TensorProto]:
    """The constants that scale the tensor `name` by a factor if each of them is scaled by it; empty where there are none.

    The tensor is a sum of products with weights, and of biases. Of weights in integers it is their scale. No other tensor may
    depend on any of them.
    """
    uses: Counter[str] = Counter(each for node in graph.node for each in node.input)
    uses.update(value.name for value in graph.output)
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    producers = {each: node for node in graph.node for each in node.output}

    def factors(tensor: str) -> list[TensorProto] | None:
        if uses[tensor] > (0 if tensor == name else 1):
            return None
        if tensor in constants:
            return [constants[tensor]]
        node = producers.get(tensor)
        if node is None:
            return None
        if node.op_type == "DequantizeLinear":
            alone = node.input[1] in constants and uses[node.input[1]] == 1
            return [constants[node.input[1]]] if alone else None
        if node.op_type in LINEAR_IN_WEIGHTS:
            return together(node.input[1:])
        if node.op_type in SUMS:
            return together(node.input)
        if node.op_type == "Mul":
            return next((scaled for each in reversed(node.input) if (scaled := factors(each))), None)
        return factors(node.input[0]) if node.op_type in RESHAPING else None

    def together(tensors: Sequence[str]) -> list[TensorProto] | None:
        parts = [factors(each) for each in tensors if each]
        return None if not parts or None in parts else [tensor for part in parts if part for tensor in part]

    return factors(name) or []
