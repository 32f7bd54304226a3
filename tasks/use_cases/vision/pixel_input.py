"""Give a model's ONNX file an input for decoded pictures of any size, which it makes square itself as cleaning does.

Legend: N pictures, H height, W width, C channels of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tasks.core import onnx_model
from tasks.use_cases.vision import images, resizing

if TYPE_CHECKING:
    from tasks.core.problem import PreprocessingState

INPUT = "pixels"
"""Upright pictures (N, H, W, 3), red, green and blue as uint8, of any height and width."""
GREY_WEIGHTS, GREY_HALF, GREY_SCALE = (19595, 38470, 7471), 1 << 15, 1 << 16
"""Pillow's conversion to grey: ITU-R 601-2 luma in whole numbers, rounded."""
CHECKED_SIZES = ((97, 64), (64, 211), (320, 480))
TOLERANCE = 1e-3
"""The largest difference of a probability between a file fed pixels, and the model fed what cleaning makes of them."""


def with_pixel_input(content: bytes, state: PreprocessingState) -> bytes:
    """The model with the input `pixels` (N, H, W, 3) instead of `inputs` (N, C, side, side), both uint8.

    `inputs` become the second output: by them `tasks.metrics.uncertainty` tells pictures that are unlike the train rows.

    What is prepended is `images.fit_square`: grey if the model is, the middle or black borders, and the same reduction.
    """
    model = onnx_model.from_bytes(content)
    side, fit = int(state["side"]), state.get("fit", "pad")
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(values: Any, dtype: Any = np.int64) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, dtype), f"{INPUT}_constant_{len(constants)}"))
        return str(constants[-1].name)

    def add(operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = f"{INPUT}_{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [output or name], name=name, **attributes))
        return output or name

    value = _cropped(add, constant) if fit == "crop" else INPUT
    if state["channels"] == 1:
        value = _grey(add, constant, value)
    count = add("Shape", value, start=0, end=1)
    channels = constant([int(state["channels"])])
    if fit == "crop":
        value = _resized(add, value, add("Concat", count, constant([side, side]), channels, axis=0))
    else:
        size = add("Shape", value, start=1, end=3)
        longest = add("ReduceMax", size, constant([0]), keepdims=1)
        doubled = add("Add", add("Mul", size, constant([2 * side])), longest)
        fitted = add("Max", add("Div", doubled, add("Mul", longest, constant([2]))), constant([1]))
        value = _resized(add, value, add("Concat", count, fitted, channels, axis=0))
        missing = add("Sub", constant([side]), fitted)
        before = add("Div", missing, constant([2]))
        after = add("Sub", missing, before)
        none = constant([0])
        value = add("Pad", value, add("Concat", none, before, none, none, after, none, axis=0), mode="constant")
    add("Transpose", value, output="inputs", perm=[0, 3, 1, 2])
    (replaced,) = [each for each in model.graph.input if each.name == "inputs"]
    batch = replaced.type.tensor_type.shape.dim[0].dim_param or "batch"
    model.graph.input.remove(replaced)
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, "height", "width", 3]))
    square = helper.make_tensor_value_info("inputs", TensorProto.UINT8, [batch, state["channels"], side, side])
    model.graph.output.append(square)
    later = list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.node.extend([*nodes, *later])
    model.graph.initializer.extend(constants)
    return onnx_model.to_bytes(model)


def check_pixel_input(content: bytes, pixels: bytes, state: PreprocessingState) -> None:
    """Raise a `RuntimeError` unless both files give the same probabilities for some random pictures, within `TOLERANCE`."""
    session, generator = onnx_model.create_session(pixels), np.random.default_rng(0)
    for height, width in CHECKED_SIZES:
        coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        fitted, _ = images.fit_square(picture, state["side"], "L" if state["channels"] == 1 else "RGB", state.get("fit", "pad"))
        square = np.asarray(fitted).reshape(state["side"], state["side"], -1).transpose(2, 0, 1)[None]
        expected = _softmax(onnx_model.predict(content, square))
        answer = _softmax(session.run(None, {INPUT: np.asarray(picture)[None]})[0])
        difference = float(np.abs(expected - answer).max())
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"fed a picture of {height}x{width} pixels, the file answers by {difference:.3g} differently than fed the "
                f"square made of it; {TOLERANCE:g} is allowed"
            )


Add = Callable[..., str]


def _cropped(add: Add, constant: Add) -> str:
    """The middle square."""
    size = add("Shape", INPUT, start=1, end=3)
    shortest = add("ReduceMin", size, constant([0]), keepdims=1)
    start = add("Div", add("Sub", size, shortest), constant([2]))
    return add("Slice", INPUT, start, add("Add", start, shortest), constant([1, 2]))


def _grey(add: Add, constant: Add, value: str) -> str:
    """The brightness of red, green and blue, (N, H, W, 1)."""
    weighted = add("Mul", add("Cast", value, to=TensorProto.INT32), constant(GREY_WEIGHTS, np.int32))
    total = add("Add", add("ReduceSum", weighted, constant([3]), keepdims=1), constant(GREY_HALF, np.int32))
    return add("Cast", add("Div", total, constant(GREY_SCALE, np.int32)), to=TensorProto.UINT8)


def _resized(add: Add, value: str, sizes: str) -> str:
    """The picture at `sizes`, by the operator that cleaning runs."""
    return add("Resize", value, "", "", sizes, **resizing.ATTRIBUTES)


def _softmax(logits: Any) -> Any:
    odds = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)
