"""A network becomes one ONNX file that carries all it needs, and must answer as the network did."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from tasks.core.onnx_model import BATCH_ROWS, FORMAT_VERSION, METADATA_PREFIX, predict, to_bytes

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array, PreprocessingState

OPSET = 20
EXPORTERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def to_onnx(network: nn.Module, example_inputs: Array, state: PreprocessingState, name: str) -> bytes:
    """`network` as one ONNX file: `inputs` (batch, ...) to `outputs` (batch, ...), any batch, no data beside it.

    `example_inputs` (2 or more, ...) give shape and type of the inputs. The metadata says which use case `name` it answers
    for, the architecture with its fields, and `state`, as JSON. Same network, same bytes.
    """
    import torch

    was_training = network.training
    examples = torch.from_numpy(np.ascontiguousarray(np.resize(example_inputs[:2], (2, *example_inputs.shape[1:]))))
    with _quiet_exporter():
        program = torch.onnx.export(
            network.eval(),
            (examples,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["inputs"],
            output_names=["outputs"],
            opset_version=OPSET,
            verbose=False,
        )
    network.train(was_training)
    assert program is not None
    model: ModelProto = program.model_proto
    _forget_origin(model)
    fold_scaling(model)
    architecture = type(network).__module__.rpartition(".")[2]
    finish(model, {"use_case": name, "architecture": architecture, "fields": network.fields, "learnt": dict(state)})
    return to_bytes(model)


def finish(model: ModelProto, metadata: Mapping[str, Any]) -> None:
    """Sign the model as ours with this metadata and no other, and drop what nothing in it reads."""
    drop_unread(model)
    model.producer_name, model.producer_version = "bonsai", FORMAT_VERSION
    entries = {METADATA_PREFIX + key: json.dumps(metadata[key], ensure_ascii=False, allow_nan=False) for key in sorted(metadata)}
    onnx.helper.set_model_props(model, entries)


def parity(network: nn.Module, content: bytes, inputs: Array, tolerance: float | None) -> dict[str, Any]:
    """How far the file's answers to inputs (N, ...) are from the network's.

    `tolerance` is the largest difference allowed, as a share of the largest output (or of 1, if that is more);
    beyond it is an error. None only measures.
    """
    import torch

    with torch.inference_mode():
        wanted = torch.cat([network(torch.from_numpy(block)) for block in np.array_split(inputs, -(-len(inputs) // BATCH_ROWS))])
    expected, found = wanted.float().numpy(), predict(content, inputs)
    if found.shape != expected.shape:
        raise RuntimeError(f"the exported file answers with shape {found.shape}, the network with {expected.shape}")
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max())
    if tolerance is not None and not difference <= tolerance * scale:
        raise RuntimeError(f"the exported file differs from the network by {difference:.3g}; {tolerance * scale:.3g} is allowed")
    return {
        "rows": len(inputs),
        "max_difference": difference,
        "largest_output": scale,
        "tolerance": tolerance,
        "equal_decisions_share": float((found.argmax(-1) == expected.argmax(-1)).mean()),
    }


def fold_scaling(model: ModelProto) -> None:
    """Put `x * scale + shift` into the unpadded convolution that alone reads it: exact, and two operators fewer.

    Behind it integer pixels reach the convolution as they are, which later lets it compute on them directly.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for multiply in [node for node in graph.node if node.op_type == "Mul"]:
        add = _only_reader(readers, multiply, "Add")
        conv = _only_reader(readers, add, "Conv") if add else None
        if add is None or conv is None or not _unpadded(conv) or conv.input[1] not in constants:
            continue
        scale, shift = _per_channel(multiply, constants), _per_channel(add, constants)
        bias = constants.get(conv.input[2]) if len(conv.input) > 2 else None
        if scale is None or shift is None or len(readers[conv.input[1]]) > 1 or (len(conv.input) > 2 and bias is None):
            continue
        weight_OCHW = numpy_helper.to_array(constants[conv.input[1]]).astype(np.float64)
        old_O = numpy_helper.to_array(bias).astype(np.float64) if bias else np.zeros(len(weight_OCHW))
        new_O = old_O + (weight_OCHW * shift).sum(axis=(1, 2, 3))
        constants[conv.input[1]].CopyFrom(numpy_helper.from_array((weight_OCHW * scale).astype(np.float32), conv.input[1]))
        graph.initializer.append(numpy_helper.from_array(new_O.astype(np.float32), f"{conv.name}_bias"))
        source = next(name for name in multiply.input if name not in constants)
        del conv.input[2:]
        conv.input[0] = source
        conv.input.append(f"{conv.name}_bias")
        graph.node.remove(multiply)
        graph.node.remove(add)
        drop_unread(model)


def drop_unread(model: ModelProto) -> None:
    """Forget constants and shapes of tensors that no node reads."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    made = {name for node in graph.node for name in node.output}
    for values, wanted in ((graph.initializer, read), (graph.value_info, made)):
        kept = [value for value in values if value.name in wanted]
        del values[:]
        values.extend(kept)


def _only_reader(readers: Mapping[str, list[NodeProto]], node: NodeProto, op_type: str) -> NodeProto | None:
    found = readers.get(node.output[0], [])
    return found[0] if len(found) == 1 and found[0].op_type == op_type and found[0].input[0] == node.output[0] else None


def _unpadded(conv: NodeProto) -> bool:
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in conv.attribute}
    return not any(values.get("pads", [0])) and values.get("auto_pad", b"NOTSET") == b"NOTSET" and values.get("group", 1) == 1


def _per_channel(node: NodeProto, constants: Mapping[str, TensorProto]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The constant that `node` multiplies or adds, if it holds one value or one per channel (1, C, 1, 1)."""
    found = [constants[name] for name in node.input if name in constants]
    values = numpy_helper.to_array(found[0]).astype(np.float64) if len(found) == 1 else None
    if values is None or (values.size > 1 and (values.ndim != 4 or values.shape[1] != values.size)):
        return None
    return values.reshape(1, -1, 1, 1)


def _forget_origin(model: ModelProto) -> None:
    """Drop the exporter's remarks: source lines and paths of this machine have no place in a shipped file."""
    graph = model.graph
    del model.metadata_props[:]
    for thing in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, *model.functions]:
        del thing.metadata_props[:]
        thing.doc_string = ""


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what torch's exporter says of its own parts; everything else still warns."""
    loggers = [logging.getLogger(name) for name in EXPORTERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category, message in (
                (FutureWarning, r"`isinstance\(treespec, LeafSpec\)` is deprecated"),
                (FutureWarning, r"_check_is_size will be removed"),
                (UserWarning, r"The tensor attributes .*_flat_weights"),
                (UserWarning, r"The \.grad attribute of a Tensor that is not a leaf"),
            ):
                warnings.filterwarnings("ignore", message=message, category=category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
