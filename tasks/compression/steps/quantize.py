"""Quantize to 8-bit integers, except for nodes where the validation score falls too far."""

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

PASS_THROUGH_OPERATORS = ("Relu", "Clip", "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
"""Operators that only pass values on: in integers they are exact and need no conversion."""
MATRIX_OPERATORS = ("Conv", "Gemm", "MatMul")
RECURRENT_OPERATORS = ("LSTM", "GRU", "RNN")
CALIBRATION_METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
CALIBRATION_BATCH, CALIBRATION_BYTES = 32, 2**19
"""The most rows, and the most bytes of inputs, of a batch of calibration: all activations of a batch are in memory at once, 300
times the bytes of a picture."""


@settings
class Quantize:
    """Weights to int8 per channel, and activations to uint8 with ranges from calibration (static) or from each input (dynamic).

    Only convolutions, matrix products and operators that pass values between them compute in integers. Quantizing every
    operator cost a text Transformer 6 points of accuracy and the finance networks 8 to 17 points of R2; these cost nothing.
    """

    changes: ClassVar[Literal["format"]] = "format"

    mode: Literal["auto", "static", "dynamic"] = "auto"
    """`auto` takes static for convolutional networks and dynamic for recurrent ones and Transformers."""
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax"
    """How the range of an activation is computed from its values on the calibration rows."""
    calibration_rows: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Number of train rows for calibration, drawn with the use case's seed."""
    max_drop: Share = 0.004
    """Largest drop of the validation score before nodes are left in float."""
    max_float_nodes: Annotated[int, Field(ge=0, le=1000)] = 3
    """Maximum number of nodes that are left in float for it."""
    tables: Literal["auto", "codes", "int8"] = "auto"
    """Large embedding tables: one byte per `piece` of a row (`codes`, product quantization) or per value (`int8`); `auto`
    takes codes unless the validation score falls by more than `max_drop`."""
    piece: Annotated[int, Field(ge=1, le=64)] = 2
    """Values of a table's row that share one byte."""

    def __call__(self, model: bytes, context: CompressionContext) -> bytes:
        from tasks.core import onnx_model

        float_score = context.score(onnx_model.predict(model, context.validation_inputs))
        model, table_nodes = self._quantize_tables(model, context, float_score)
        with tempfile.TemporaryDirectory() as folder, _silence_onnxruntime():
            quantizer = _Quantizer(model, self, context, Path(folder), table_nodes)
            quantized, score, float_nodes = self._within_budget(quantizer, float_score)
        context.notes["quantize"] = {
            "mode": quantizer.mode,
            "nodes": quantizer.nodes,
            "tables": "codes" if table_nodes else "int8",
            "left_in_float": float_nodes,
            "score_before": float_score,
            "score_after": score,
            "budget_kept": score >= float_score - self.max_drop,
        }
        return quantized

    def _quantize_tables(self, model: bytes, context: CompressionContext, float_score: float) -> tuple[bytes, list[str]]:
        """The model with product-quantized tables, and their lookup nodes; unchanged where the score falls too far."""
        from tasks.compression import onnx_export, product_quantization
        from tasks.core import onnx_model

        graph = onnx_model.from_bytes(model)
        table_nodes: list[str] = []
        if self.tables != "int8":
            table_nodes = product_quantization.quantize_tables(graph, self.piece, context.case.training.seed)
        if not table_nodes:
            return model, []
        onnx_export.set_metadata(graph, onnx_model.read_metadata(graph))
        quantized = onnx_model.to_bytes(graph)
        score = context.score(onnx_model.predict(quantized, context.validation_inputs))
        if self.tables == "auto" and score < float_score - self.max_drop:
            context.event_log.log(f"with tables as codes the score falls from {float_score:.4f} to {score:.4f}: using int8")
            return model, []
        return quantized, table_nodes

    def _within_budget(self, quantizer: _Quantizer, float_score: float) -> tuple[bytes, float, list[str]]:
        """Quantize all nodes; while the score falls too far, leave the node with the largest output error in float.

        Returns the model, its score and the nodes left in float.
        """
        float_nodes: list[str] = []
        quantized = quantizer.quantize(float_nodes)
        score = quantizer.score(quantized)
        order: list[str] = []
        while score < float_score - self.max_drop and len(float_nodes) < min(self.max_float_nodes, len(quantizer.nodes)):
            order = order or quantizer.nodes_by_error()
            float_nodes.append(order.pop(0))
            quantizer.log(f"quantized, the score falls from {float_score:.4f} to {score:.4f}: leaving {float_nodes[-1]} in float")
            quantized = quantizer.quantize(float_nodes)
            score = quantizer.score(quantized)
        return quantized, score, float_nodes


class _Quantizer:
    """Quantizes one model: calibrates once, then quantizes with any of its nodes left in float."""

    def __init__(self, model: bytes, step: Quantize, context: CompressionContext, folder: Path, table_nodes: list[str]) -> None:
        from onnxruntime.quantization import quant_pre_process

        from tasks.compression import onnx_export
        from tasks.core import onnx_model

        self.context, self.folder, self.metadata = context, folder, onnx_model.read_metadata(onnx_model.from_bytes(model))
        self.path, self.ranges = folder / "prepared.onnx", folder / "ranges.json"
        (folder / "given.onnx").write_bytes(model)
        quant_pre_process(folder / "given.onnx", self.path, skip_symbolic_shape=True)
        prepared = onnx_model.from_bytes(self.path.read_bytes())
        onnx_export.remove_unused(prepared)  # shapes of folded tensors contradict the weights once those are transposed
        for number, node in enumerate(prepared.graph.node):  # nodes are excluded by name, and released files have none
            node.name = node.name or f"{node.op_type}_{number}"
        self.path.write_bytes(prepared.SerializeToString())
        self.graph = prepared.graph
        types = {node.op_type for node in self.graph.node}
        self.mode = step.mode
        if step.mode == "auto":
            self.mode = "static" if "Conv" in types and not types & set(RECURRENT_OPERATORS) else "dynamic"
        quantized_types = MATRIX_OPERATORS if self.mode == "static" else (*MATRIX_OPERATORS, *RECURRENT_OPERATORS, "Gather")
        self.table_nodes = [node.name for node in self.graph.node if node.name in table_nodes]
        self.nodes = [
            node.name
            for node in self.graph.node
            if node.op_type in quantized_types and node.name not in table_nodes and self._has_weights(node)
        ]
        if not self.nodes:
            raise UserError("the network has no convolution, matrix product or recurrence to quantize; leave 'quantize' out")
        self.method = CALIBRATION_METHODS[step.calibration]
        self.float_outputs = onnx_model.predict(model, context.validation_inputs)
        if self.mode == "static":
            self._calibrate(step.calibration_rows)

    def log(self, message: str) -> None:
        self.context.event_log.log(message)

    def score(self, model: bytes) -> float:
        """The validation score of a quantized model."""
        from tasks.core import onnx_model

        return self.context.score(onnx_model.predict(model, self.context.validation_inputs))

    def nodes_by_error(self) -> list[str]:
        """The nodes, first the one whose exclusion brings the outputs closest to those of the float model."""
        import numpy as np

        from tasks.core import onnx_model

        def distance(node: str) -> float:
            outputs = onnx_model.predict(self.quantize([node]), self.context.validation_inputs)
            return float(np.square(np.subtract(outputs, self.float_outputs)).mean())

        return sorted(self.nodes, key=distance)

    def quantize(self, float_nodes: Sequence[str]) -> bytes:
        """The model with all nodes in integers except `float_nodes`."""
        from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

        from tasks.compression import onnx_export
        from tasks.core import onnx_model

        target = self.folder / "quantized.onnx"
        if self.mode == "static":
            quantize_static(
                self.path,
                target,
                None,
                op_types_to_quantize=[*MATRIX_OPERATORS, *PASS_THROUGH_OPERATORS],
                nodes_to_exclude=[*float_nodes, *self.table_nodes],
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
                calibrate_method=self._method(),
                calibration_cache_path=self.ranges,
                # a bias in float is smaller than integers with a scale of their own; ONNX Runtime makes integers of it on loading
                extra_options={"TensorQuantOverrides": self._exact_pixel_ranges(), "QuantizeBias": False},
            )
        else:
            quantize_dynamic(
                self.path,
                target,
                op_types_to_quantize=[*MATRIX_OPERATORS, *RECURRENT_OPERATORS, "Gather"],
                nodes_to_exclude=[*float_nodes, *self.table_nodes],
                per_channel=True,
                weight_type=QuantType.QInt8,
            )
        model = onnx_model.from_bytes(target.read_bytes())
        remove_pixel_casts(model)
        keep_float_outputs(model)
        onnx_export.set_metadata(model, self.metadata)
        return onnx_model.to_bytes(model)

    def _calibrate(self, rows: int) -> None:
        """Run some train rows through the model, in one thread, and save the range of every activation."""
        import numpy as np
        from onnxruntime.quantization import create_calibrator, save_tensors_data

        from tasks.core import onnx_model

        context = self.context
        rows_drawn = np.sort(np.random.default_rng(context.case.training.seed).permutation(len(context.inputs))[:rows])
        augmented = self.folder / "augmented.onnx"
        calibrator = create_calibrator(
            self.path,
            [*MATRIX_OPERATORS, *PASS_THROUGH_OPERATORS],
            augmented_model_path=str(augmented),
            calibrate_method=self._method(),
        )
        calibrator.infer_session = onnx_model.create_session(augmented.read_bytes(), threads=1)
        calibrator.collect_data(_CalibrationRows(context.inputs[rows_drawn]))
        save_tensors_data(calibrator.compute_data(), self.ranges)

    def _method(self) -> Any:
        from onnxruntime.quantization import CalibrationMethod

        return CalibrationMethod[self.method]

    def _has_weights(self, node: NodeProto) -> bool:
        constants = {tensor.name for tensor in self.graph.initializer}
        return any(name in constants for name in node.input[:2])

    def _exact_pixel_ranges(self) -> dict[str, list[dict[str, Any]]]:
        """Ranges that keep integer pixels exact after their cast to float: scale 1, zero point 0."""
        import numpy as np
        from onnx import TensorProto

        uint8_inputs = {value.name for value in self.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
        casts = [node for node in self.graph.node if node.op_type == "Cast" and node.input[0] in uint8_inputs]
        return {node.output[0]: [{"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}] for node in casts}


def remove_pixel_casts(model: ModelProto) -> None:
    """Remove casts from uint8 to float whose only consumer quantizes back to the same uint8 values."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uint8_inputs = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in uint8_inputs]:
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


def keep_float_outputs(model: ModelProto) -> None:
    """Remove the quantization of the model's outputs, which no operator reads."""
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        widen = producers.get(output.name)
        narrow = producers.get(widen.input[0]) if widen and widen.op_type == "DequantizeLinear" else None
        source = producers.get(narrow.input[0]) if narrow and narrow.op_type == "QuantizeLinear" else None
        if widen is None or narrow is None or source is None:
            continue
        source.output[:] = [output.name if name == narrow.input[0] else name for name in source.output]
        graph.node.remove(widen)
        graph.node.remove(narrow)


class _CalibrationRows:
    """The calibration data reader of ONNX Runtime: batches of one size, as its histograms require."""

    def __init__(self, inputs: Array) -> None:
        size = max(1, min(CALIBRATION_BATCH, CALIBRATION_BYTES // max(1, inputs[:1].nbytes), len(inputs)))
        self.batches = (inputs[at : at + size] for at in range(0, len(inputs) - size + 1, size))

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"inputs": batch}


@contextlib.contextmanager
def _silence_onnxruntime() -> Iterator[None]:
    """Suppress the output and log messages of ONNX Runtime's quantizer."""
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
