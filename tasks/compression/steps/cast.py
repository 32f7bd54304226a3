"""Store large weights as 16-bit floats, which halves the file; computation stays in 32 bits."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.settings import settings


@settings
class Cast:
    """Weights as 16-bit floats in the file, each turned back by a Cast node that the runtime folds when it loads the model.

    It makes the file smaller and nothing faster.
    """

    changes: ClassVar[Literal["format"]] = "format"

    to: Literal["fp16", "bf16"] = "fp16"
    """`fp16` keeps more digits, `bf16` the range of 32-bit floats."""
    min_values: Annotated[int, Field(ge=1)] = 256
    """Weights with fewer values stay as they are."""

    def __call__(self, model: bytes, context: CompressionContext) -> bytes:
        import numpy as np
        from onnx import TensorProto, helper, numpy_helper

        from tasks.core import onnx_model

        proto = onnx_model.from_bytes(model)
        stored_type = TensorProto.FLOAT16 if self.to == "fp16" else TensorProto.BFLOAT16
        dtype = helper.tensor_dtype_to_np_dtype(stored_type)
        nodes = []
        for tensor in proto.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype != np.float32 or values.size < self.min_values:
                continue
            stored = values.astype(dtype)
            if not np.isfinite(stored.astype(np.float32)).all():
                continue
            name = tensor.name
            tensor.CopyFrom(TensorProto(name=f"{name}_16", data_type=stored_type, dims=values.shape, raw_data=stored.tobytes()))
            nodes.append(helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT))
        for position, node in enumerate(nodes):
            proto.graph.node.insert(position, node)
        context.notes["cast"] = {"tensors": len(nodes)}
        return onnx_model.to_bytes(proto)
