"""ONNX models: bytes, metadata and inference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from tasks.core import onnx_session
from tasks.core.errors import UserError
from tasks.core.storage import file_backed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from tasks.core.use_case import Array


FORMAT_VERSION = "1"
"""The version of the metadata's format, written to the file as the producer version."""
METADATA_PREFIX = "bonsai."
"""The prefix of Bonsai's entries in a model's metadata."""
BATCH_ROWS, BATCH_BYTES = 256, 3 * 2**20
"""The most rows, and the most bytes of inputs, of a batch: what a model computes takes many times as much memory."""


def to_bytes(model: ModelProto) -> bytes:
    """Check a model and serialise it; the same model gives the same bytes."""
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def from_bytes(content: bytes) -> ModelProto:
    """Parse a model. Raises a `UserError` for bytes that are no ONNX model, and for a model with tensors in other files."""
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own class, which onnx does not re-export
        raise UserError(f"not an ONNX file ({' '.join(str(error).split())}); expected the model.onnx of a release") from None
    external = [tensor.name for tensor in _tensors(model) if tensor.data_location == TensorProto.EXTERNAL]
    if external:
        raise UserError(f"the ONNX file keeps {external[0]!r} in another file; only files that hold all their data are read")
    return model


def same_graph(one: bytes, other: bytes) -> bool:
    """Whether two models compute alike: equal nodes on tensors of equal types and shapes, whatever numbers the tensors hold.

    Tensors of int64, such as shapes and axes, have to be equal.
    """
    first, second = (_without_values(from_bytes(content)) for content in (one, other))
    return bool(first == second)


def _without_values(model: ModelProto) -> bytes:
    """The model as bytes, without the values of its tensors but those of int64, without metadata and comments."""
    for tensor in _tensors(model):
        if tensor.data_type != TensorProto.INT64:
            for name in ("raw_data", "float_data", "int32_data", "double_data", "uint64_data"):
                tensor.ClearField(name)
    model.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def create_session(content: bytes, threads: int = 1) -> InferenceSession:
    """An ONNX Runtime session on the CPU with `threads` threads."""
    from_bytes(content)
    return onnx_session.open_session(content, threads)


def predict(content: bytes, inputs: Array, threads: int = 1) -> Array:
    """The outputs (N, ...) of the model for inputs (N, ...), computed in batches."""
    runtime = create_session(content, threads)
    size, batches = batch_rows(inputs), []
    for at in range(0, max(1, len(inputs)), size):
        batches.append(runtime.run(None, {"inputs": inputs[at : at + size]})[0])
        file_backed.release_pages()
    outputs: Array = np.concatenate(batches)
    return outputs


def batch_rows(inputs: Array) -> int:
    """How many of these rows are computed at a time."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES * len(inputs) // max(1, inputs.nbytes)))


def read_metadata(model: ModelProto) -> dict[str, Any]:
    """The entries that `onnx_export.set_metadata` wrote: use_case, architecture, fields, learnt."""
    props = [entry for entry in model.metadata_props if entry.key.startswith(METADATA_PREFIX)]
    return {entry.key.removeprefix(METADATA_PREFIX): json.loads(entry.value) for entry in props}


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Every tensor of a model, wherever it is: in graphs, nested ones too, functions, attributes, and sparse tensors."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from _tensors(inner)
