"""The one reduction of pictures: in cleaning, and inside a released file, by the same operator of ONNX Runtime.

Pillow's bilinear filter is the same triangle, but rounds one of some thousand values to the next of 255 levels, and a network in
whole numbers answers differently by up to 0.002 for it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

OPSET, IR_VERSION = 18, 10
ATTRIBUTES: dict[str, Any] = {
    "mode": "linear",
    "antialias": 1,
    "exclude_outside": 1,
    "coordinate_transformation_mode": "half_pixel",
}
"""Of ONNX's Resize: averages by a triangle as wide as the reduction; at the borders only pixels inside of the picture count."""


def resize(pixels_HWC: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A picture (H, W, C) at (height, width, C), reduced or enlarged."""
    sizes = np.array([1, height, width, pixels_HWC.shape[2]], np.int64)
    (resized,) = _session().run(None, {"pixels": pixels_HWC[None], "sizes": sizes})
    pixels: NDArray[np.uint8] = resized[0]
    return pixels


@cache
def _session() -> InferenceSession:
    """A session of a graph of this one operator, in one thread."""
    from onnx import TensorProto, helper

    from tasks.core import onnx_model

    node = helper.make_node("Resize", ["pixels", "", "", "sizes"], ["resized"], **ATTRIBUTES)
    picture = ["batch", "height", "width", "channels"]
    inputs = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, picture),
        helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]),
    ]
    outputs = [helper.make_tensor_value_info("resized", TensorProto.UINT8, [None] * 4)]
    graph = helper.make_graph([node], "resize", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return onnx_model.create_session(onnx_model.to_bytes(model))
