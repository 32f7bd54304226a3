"""An exported ONNX file as the dense model: it answers and teaches, but has no weights to train."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn

from tasks.core import onnx_model
from tasks.core.errors import UserError

CASTS = {(np.dtype(np.int32), TensorProto.INT64): "int64"}
"""Types of a use case's inputs that a file may take in another type without loss."""


class OnnxFile(nn.Module):
    """Encoded rows (B, ...) to outputs (B, O), computed by ONNX Runtime."""

    def __init__(self, *, file: str, size: int, outputs: int) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"file": file, "size": size, "outputs": outputs}
        self.content: Tensor
        self.register_buffer("content", torch.zeros(size, dtype=torch.uint8))
        self._session: Any = None

    @classmethod
    def of(cls, content: bytes, *, file: str, inputs: np.ndarray[Any, Any], outputs: int) -> OnnxFile:
        """A file whose input takes these encoded rows (N, ...), renamed and cast where needed. Raises a `UserError`."""
        fitted = _fitted(content, file, inputs, outputs)
        network = cls(file=file, size=len(fitted), outputs=outputs)
        network.content.copy_(torch.frombuffer(bytearray(fitted), dtype=torch.uint8))
        network.check(inputs[:2])
        return network.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        if self._session is None:
            self._session = onnx_model.create_session(self.onnx_bytes())
        expected = self._session.get_inputs()[0].type
        rows = inputs.detach().cpu()
        if expected == "tensor(uint8)" and rows.dtype != torch.uint8:
            rows = rows.float().round().clamp(0, 255).byte()  # pictures are floats once they are augmented
        (outputs,) = self._session.run(None, {"inputs": rows.contiguous().numpy()})
        return torch.from_numpy(outputs).to(inputs.device)

    def onnx_bytes(self) -> bytes:
        """The file."""
        return self.content.cpu().numpy().tobytes()

    def check(self, inputs: np.ndarray[Any, Any]) -> None:
        """Run a few rows; raise a `UserError` where the file gives outputs of another shape."""
        shape, expected = tuple(self(torch.from_numpy(inputs)).shape), (len(inputs), self.fields["outputs"])
        if shape != expected:
            raise UserError(f"{self.fields['file']} gives {shape} for {len(inputs)} rows; this use case needs {expected}")

    def weight_count(self) -> int:
        """The number of values of its constants."""
        return sum(int(np.prod(tensor.dims)) for tensor in onnx_model.from_bytes(self.onnx_bytes()).graph.initializer)

    def macs(self) -> int:
        """Multiply-accumulates for one row in its convolutions and matrix products, at least 1."""
        model = onnx.shape_inference.infer_shapes(onnx_model.from_bytes(self.onnx_bytes()), data_prop=True)
        graph = model.graph
        shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        for value in [*graph.input, *graph.value_info, *graph.output]:
            shapes[value.name] = [max(1, size.dim_value) for size in value.type.tensor_type.shape.dim]
        count = 0
        for node in graph.node:
            weight = shapes.get(node.input[1], []) if len(node.input) > 1 else []
            produced = int(np.prod(shapes.get(node.output[0], [1])))
            if node.op_type == "Conv":
                count += produced * int(np.prod(weight[1:]))
            elif node.op_type in ("MatMul", "Gemm") and len(weight) > 1:
                transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
                count += produced * weight[-1 if transposed else -2]
        return max(1, count)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}  # a session cannot be copied


def _fitted(content: bytes, file: str, inputs: np.ndarray[Any, Any], outputs: int) -> bytes:
    """The file with the names `inputs` and `outputs`, after its input was compared with these rows."""
    try:
        model = onnx_model.from_bytes(content)
        onnx.checker.check_model(model)
    except Exception as error:
        raise UserError(f"{file} is no ONNX model: {str(error).splitlines()[0][:200]}") from None
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    free = [value for value in graph.input if value.name not in weights]
    if len(free) != 1 or len(graph.output) != 1:
        raise UserError(f"{file} has {len(free)} inputs and {len(graph.output)} outputs; one of each can be used")
    taken, (result,) = free[0].type.tensor_type, graph.output
    sizes = [size.dim_value or None for size in taken.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(taken.elem_type)
    cast = CASTS.get((inputs.dtype, taken.elem_type))
    fits = len(sizes) == inputs.ndim and all(size in (None, own) for size, own in zip(sizes[1:], inputs.shape[1:], strict=True))
    if not fits or (kind != inputs.dtype and not cast):
        shape = ", ".join("N" if place == 0 else str(size or "any") for place, size in enumerate(sizes))
        own = ", ".join(["N", *map(str, inputs.shape[1:])])
        advice = "; export it with its preprocessing inside" if inputs.dtype == np.uint8 and kind == np.float32 else ""
        raise UserError(f"{file} takes {kind} ({shape}), the rows of this use case are {inputs.dtype} ({own}){advice}")
    if sizes[0] is not None:
        raise UserError(f"{file} takes {sizes[0]} rows at once; export it with a dynamic first dimension")
    names = {free[0].name: "inputs_cast" if cast else "inputs", result.name: "outputs"}
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    if cast:
        graph.node.insert(0, onnx.helper.make_node("Cast", ["inputs"], ["inputs_cast"], to=taken.elem_type))
        taken.elem_type = onnx.helper.np_dtype_to_tensor_dtype(inputs.dtype)
    free[0].name, result.name = "inputs", "outputs"
    return onnx_model.to_bytes(model)
