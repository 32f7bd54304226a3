"""Let integers of 8 bits do the work of floats, except where validation shows that it hurts."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.errors import UserError
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from tasks.core.use_case import Array

CARRIERS = ("Relu", "Clip", "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
"""Operators that only pass values on: in integers they cost nothing and lose nothing."""
PRODUCTS = ("Conv", "Gemm", "MatMul")
RECURRENT = ("LSTM", "GRU", "RNN")
METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
CALIBRATION_BATCH = 32


@settings
class Quantize:
    """Weights to int8 per channel, and activations to uint8 with ranges fixed beforehand (static) or found on the way (dynamic).

    Only convolutions, matrix products and what merely carries values between them compute in integers: quantizing every
    operator cost a text Transformer 6 points of accuracy and price networks 8 to 17 of R2, these cost nothing.
    """

    changes: ClassVar[Literal["format"]] = "format"

    mode: Literal["auto", "static", "dynamic"] = "auto"
    """`auto` takes static for convolutional networks and dynamic for recurrent ones and Transformers."""
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax"
    """How the range of an activation is read from what the calibration rows show."""
    calibration_rows: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Train rows that show the ranges, drawn by the use case's seed."""
    max_drop: Share = 0.004
    """Most of the validation score that may go before nodes are left in float."""
    max_float_nodes: Annotated[int, Field(ge=0, le=1000)] = 3
    """At most so many nodes are left in float to keep it."""
    tables: Literal["auto", "codes", "int8"] = "auto"
    """Large tables of vectors: one byte for each `piece` of a row, or one for each number; `auto` takes codes where the
    validation score allows it."""
    piece: Annotated[int, Field(ge=1, le=64)] = 2
    """Numbers of a table's row that share one byte."""

    def __call__(self, model: bytes, context: CompressionContext) -> bytes:
        from tasks.core import onnx_model

        float_score = context.score(onnx_model.predict(model, context.validation_inputs))
        model, coded = self._coded(model, context, float_score)
        with tempfile.TemporaryDirectory() as folder, _quietly():
            search = _Work(model, self, context, Path(folder), coded)
            found, score, left = self._within_budget(search, float_score)
        context.notes["quantize"] = {
            "mode": search.mode,
            "nodes": search.nodes,
            "tables": "codes" if coded else "int8",
            "left_in_float": left,
            "score_before": float_score,
            "score_after": score,
            "budget_kept": score >= float_score - self.max_drop,
        }
        return found

    def _coded(self, model: bytes, context: CompressionContext, float_score: float) -> tuple[bytes, list[str]]:
        """The model with its large tables as codes, and the nodes that read them; as it came where that costs too much."""
        from tasks.compression import onnx_export, product_quantization
        from tasks.core import onnx_model

        graph = onnx_model.from_bytes(model)
        made = product_quantization.coded(graph, self.piece, context.case.training.seed) if self.tables != "int8" else []
        if not made:
            return model, []
        onnx_export.finish(graph, onnx_model.read_metadata(graph))
        found = onnx_model.to_bytes(graph)
        score = context.score(onnx_model.predict(found, context.validation_inputs))
        if self.tables == "auto" and score < float_score - self.max_drop:
            context.event_log.log(f"with tables as codes the score falls from {float_score:.4f} to {score:.4f}: taking int8")
            return model, []
        return found, made

    def _within_budget(self, search: _Work, float_score: float) -> tuple[bytes, float, list[str]]:
        """Quantize all; while the score falls too far, leave the node in float that disturbs the outputs most."""
        left: list[str] = []
        found = search.quantized(left)
        score = search.score(found)
        order: list[str] = []
        while score < float_score - self.max_drop and len(left) < min(self.max_float_nodes, len(search.nodes)):
            order = order or search.by_harm()
            left.append(order.pop(0))
            search.log(f"quantized, the score falls from {float_score:.4f} to {score:.4f}: leaving {left[-1]} in float")
            found = search.quantized(left)
            score = search.score(found)
        return found, score, left


class _Work:
    """One model being quantized: its ranges are read once, then any of its nodes can be left out."""

    def __init__(self, model: bytes, step: Quantize, context: CompressionContext, folder: Path, coded: list[str]) -> None:
        from onnxruntime.quantization import quant_pre_process

        from tasks.compression import onnx_export
        from tasks.core import onnx_model

        self.context, self.folder, self.metadata = context, folder, onnx_model.read_metadata(onnx_model.from_bytes(model))
        self.path, self.ranges = folder / "prepared.onnx", folder / "ranges.json"
        (folder / "given.onnx").write_bytes(model)
        quant_pre_process(folder / "given.onnx", self.path, skip_symbolic_shape=True)
        prepared = onnx_model.from_bytes(self.path.read_bytes())
        onnx_export.drop_unread(prepared)  # shapes of what was folded, which would contradict the weights once they are turned
        self.path.write_bytes(prepared.SerializeToString())
        self.graph = prepared.graph
        types = {node.op_type for node in self.graph.node}
        self.mode = step.mode
        if step.mode == "auto":
            self.mode = "static" if "Conv" in types and not types & set(RECURRENT) else "dynamic"
        quantized_types = PRODUCTS if self.mode == "static" else (*PRODUCTS, *RECURRENT, "Gather")
        self.coded = [node.name for node in self.graph.node if node.name in coded]
        self.nodes = [
            node.name
            for node in self.graph.node
            if node.op_type in quantized_types and node.name not in coded and self._has_weights(node)
        ]
        if not self.nodes:
            raise UserError("the network has no convolution, matrix product or recurrence to quantize; leave 'quantize' out")
        self.method = METHODS[step.calibration]
        self.float_outputs = onnx_model.predict(model, context.validation_inputs)
        if self.mode == "static":
            self._calibrate(step.calibration_rows)

    def log(self, message: str) -> None:
        self.context.event_log.log(message)

    def score(self, model: bytes) -> float:
        """The validation score of a quantized model."""
        from tasks.core import onnx_model

        return self.context.score(onnx_model.predict(model, self.context.validation_inputs))

    def by_harm(self) -> list[str]:
        """The nodes, first the one without which the outputs come closest to those of the float model."""
        import numpy as np

        from tasks.core import onnx_model

        def distance(node: str) -> float:
            outputs = onnx_model.predict(self.quantized([node]), self.context.validation_inputs)
            return float(np.square(np.subtract(outputs, self.float_outputs)).mean())

        return sorted(self.nodes, key=distance)

    def quantized(self, left: Sequence[str]) -> bytes:
        """The model with all nodes in integers but those `left` in float."""
        from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

        from tasks.compression import onnx_export
        from tasks.core import onnx_model

        target = self.folder / "quantized.onnx"
        if self.mode == "static":
            quantize_static(
                self.path,
                target,
                None,
                op_types_to_quantize=[*PRODUCTS, *CARRIERS],
                nodes_to_exclude=[*left, *self.coded],
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
                calibrate_method=self._method(),
                calibration_cache_path=self.ranges,
                extra_options={"TensorQuantOverrides": self._pixels()},
            )
        else:
            quantize_dynamic(
                self.path,
                target,
                op_types_to_quantize=[*PRODUCTS, *RECURRENT, "Gather"],
                nodes_to_exclude=[*left, *self.coded],
                per_channel=True,
                weight_type=QuantType.QInt8,
            )
        model = onnx_model.from_bytes(target.read_bytes())
        read_pixels_directly(model)
        answer_in_float(model)
        onnx_export.finish(model, self.metadata)
        return onnx_model.to_bytes(model)

    def _calibrate(self, rows: int) -> None:
        """Show the model some train rows, one thread, and keep the range of every activation."""
        import numpy as np
        from onnxruntime.quantization import create_calibrator, save_tensors_data

        from tasks.core import onnx_model

        context = self.context
        chosen = np.sort(np.random.default_rng(context.case.training.seed).permutation(len(context.inputs))[:rows])
        augmented = self.folder / "augmented.onnx"
        calibrator = create_calibrator(
            self.path, [*PRODUCTS, *CARRIERS], augmented_model_path=str(augmented), calibrate_method=self._method()
        )
        calibrator.infer_session = onnx_model.create_session(augmented.read_bytes(), threads=1)
        calibrator.collect_data(_Rows(context.inputs[chosen]))
        save_tensors_data(calibrator.compute_data(), self.ranges)

    def _method(self) -> Any:
        from onnxruntime.quantization import CalibrationMethod

        return CalibrationMethod[self.method]

    def _has_weights(self, node: NodeProto) -> bool:
        constants = {tensor.name for tensor in self.graph.initializer}
        return any(name in constants for name in node.input[:2])

    def _pixels(self) -> dict[str, list[dict[str, Any]]]:
        """Integer pixels that were only cast to float keep their exact values: scale 1, zero point 0."""
        import numpy as np
        from onnx import TensorProto

        bytes_in = {value.name for value in self.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
        casts = [node for node in self.graph.node if node.op_type == "Cast" and node.input[0] in bytes_in]
        return {node.output[0]: [{"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}] for node in casts}


def read_pixels_directly(model: ModelProto) -> None:
    """Drop a cast from uint8 to float that is quantized at once to the very same uint8."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    bytes_in = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in bytes_in]:
        readers = [node for node in graph.node if cast.output[0] in node.input]
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            continue
        scale, zero = (numpy_helper.to_array(constants[name]) for name in readers[0].input[1:3])
        if scale != 1 or zero != 0 or zero.dtype != "uint8":
            continue
        for node in graph.node:
            node.input[:] = [cast.input[0] if name == readers[0].output[0] else name for name in node.input]
        graph.node.remove(cast)
        graph.node.remove(readers[0])


def answer_in_float(model: ModelProto) -> None:
    """Drop the last rounding: the model's outputs are read by people, not by another operator."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        widen = makers.get(output.name)
        narrow = makers.get(widen.input[0]) if widen and widen.op_type == "DequantizeLinear" else None
        source = makers.get(narrow.input[0]) if narrow and narrow.op_type == "QuantizeLinear" else None
        if widen is None or narrow is None or source is None:
            continue
        source.output[:] = [output.name if name == narrow.input[0] else name for name in source.output]
        graph.node.remove(widen)
        graph.node.remove(narrow)


class _Rows:
    """What ONNX Runtime asks calibration rows for, in batches of one size: its histograms take no other."""

    def __init__(self, inputs: Array) -> None:
        size = min(CALIBRATION_BATCH, len(inputs))
        self.batches = (inputs[at : at + size] for at in range(0, len(inputs) - size + 1, size))

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"inputs": batch}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep ONNX Runtime's remarks on its own progress off the screen."""
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
