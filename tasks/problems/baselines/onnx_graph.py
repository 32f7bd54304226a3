"""A small builder of ONNX graphs with one input `inputs` and one output `outputs`; the same calls give the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

OPSET, TREES_OPSET, IR_VERSION = 20, 5, 10
TREES_DOMAIN = "ai.onnx.ml"


class Graph:
    """Nodes and constants of a graph; every method returns the name of a value, and `finish` the model."""

    def __init__(self, dtype: np.dtype[Any], shape: Sequence[int | str]) -> None:
        """`inputs` have this type and the shape (batch, *shape); a text stands for a length that varies."""
        element = helper.np_dtype_to_tensor_dtype(dtype)
        self.inputs = helper.make_tensor_value_info("inputs", element, ["batch", *shape])
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """An array in the file."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def floats(self) -> str:
        """The inputs as 32-bit floats."""
        return "inputs" if self.inputs.type.tensor_type.elem_type == onnx.TensorProto.FLOAT else self.cast("inputs")

    def cast(self, value: str) -> str:
        """The value as 32-bit floats."""
        return self.add("Cast", value, to=onnx.TensorProto.FLOAT)

    def linear(self, value: str, weights_KF: Any, bias_K: Any) -> str:
        """`value` (N, F) times the weights, plus the bias: (N, K)."""
        return self.add("Gemm", value, self.constant(weights_KF), self.constant(bias_K), transB=1)

    def finish(self, value: str, *shape: int) -> ModelProto:
        """The model whose output (batch, *shape) is `value`."""
        outputs = helper.make_tensor_value_info("outputs", onnx.TensorProto.FLOAT, ["batch", *shape])
        self.nodes.append(helper.make_node("Identity", [value], ["outputs"], name="outputs"))
        graph = helper.make_graph(self.nodes, "baseline", [self.inputs], [outputs], self.constants)
        versions = [helper.make_opsetid("", OPSET)]
        if any(node.domain for node in self.nodes):
            versions.append(helper.make_opsetid(TREES_DOMAIN, TREES_OPSET))
        model: ModelProto = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)
        return model
