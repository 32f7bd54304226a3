"""Export a network to one self-contained ONNX file, and compare the file's outputs with the network's."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from tasks.core.compression import described_fields
from tasks.core.onnx_model import FORMAT_VERSION, METADATA_PREFIX, batch_rows, from_bytes, predict, to_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import Array

OPSET = 20
FEED_FORWARD = (
    *("Conv2d", "BatchNorm2d", "Linear", "Identity", "Flatten", "Dropout"),
    *("ReLU", "ReLU6", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d"),
)
"""Layers whose graph does not depend on the inputs."""
EXPORTERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def to_onnx(network: nn.Module, example_inputs: Array, state: PreprocessingState, name: str) -> bytes:
    """`network` as one ONNX file from `inputs` (batch, ...) to `outputs` (batch, ...), for any batch size, without external data.

    `example_inputs` (N, ...) give shape and type of the inputs. The metadata holds the use case `name`, the architecture with
    its fields, and the preprocessing `state`, as JSON. The same network gives the same bytes.
    """
    import torch

    architecture = type(network).__module__.rpartition(".")[2]
    metadata = {"use_case": name, "architecture": architecture, "fields": described_fields(network), "learnt": dict(state)}
    if hasattr(network, "onnx_bytes"):  # it is a file already
        model = from_bytes(network.onnx_bytes())  # type: ignore[operator]
        set_metadata(model, metadata)
        return to_bytes(model)
    was_training = network.training
    examples = torch.from_numpy(np.ascontiguousarray(np.resize(example_inputs[:2], (2, *example_inputs.shape[1:]))))
    network.eval()
    with silence_exporter():
        model = (_record if is_feed_forward(network) else _capture)(network, examples)
    network.train(was_training)
    _strip_debug_info(model)
    lift_constants(model)
    fold_padding(model)
    fold_scaling(model)
    set_metadata(model, metadata)
    return to_bytes(model)


def is_feed_forward(network: nn.Module) -> bool:
    """Whether it is a network of images of this project that consists of `FEED_FORWARD` layers: recording one call tells all."""
    from torch import nn

    layers = [module for module in network.modules() if not any(module.children())]
    own = type(network).__module__.startswith("tasks.models.")
    return (
        own
        and any(isinstance(layer, nn.Conv2d) for layer in layers)
        and all(type(layer).__name__ in FEED_FORWARD for layer in layers)
    )


def _record(network: nn.Module, examples: Tensor) -> ModelProto:
    """The graph of one call, recorded by TorchScript: 0.05 CPU-seconds, where `_capture` takes 4."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            (examples,),
            path,
            dynamo=False,
            input_names=["inputs"],
            output_names=["outputs"],
            dynamic_axes={"inputs": {0: "batch"}, "outputs": {0: "batch"}},
            opset_version=OPSET,
        )
        return from_bytes(path.read_bytes())


def _capture(network: nn.Module, examples: Tensor) -> ModelProto:
    """The graph as torch.export captures it: for any network."""
    import torch

    program = torch.onnx.export(
        network,
        (examples,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["inputs"],
        output_names=["outputs"],
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def lift_constants(model: ModelProto) -> None:
    """Make the tensors of Constant nodes constants of the graph, and let readers of an Identity of a constant read it itself."""
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        if value is None:
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        graph.node.remove(node)
    constants = {tensor.name for tensor in graph.initializer}
    same = {node.output[0]: node for node in graph.node if node.op_type == "Identity" and node.input[0] in constants}
    for node in graph.node:
        node.input[:] = [same[name].input[0] if name in same else name for name in node.input]
    outputs = {value.name for value in graph.output}
    for name, node in same.items():
        if name not in outputs:
            graph.node.remove(node)


def set_metadata(model: ModelProto, metadata: Mapping[str, Any]) -> None:
    """Replace the model's producer and metadata, and remove unused tensors."""
    remove_unused(model)
    model.producer_name, model.producer_version = "bonsai", FORMAT_VERSION
    entries = {METADATA_PREFIX + key: json.dumps(metadata[key], ensure_ascii=False, allow_nan=False) for key in sorted(metadata)}
    onnx.helper.set_model_props(model, entries)


def parity(network: nn.Module, content: bytes, inputs: Array, tolerance: float | None) -> dict[str, Any]:
    """The differences between the file's outputs and the network's for inputs (N, ...).

    `tolerance` is the largest difference allowed, as a share of the largest output (or of 1, if that is more); None allows
    any. Raises `RuntimeError` when the shapes differ or the difference is larger.
    """
    import torch

    with torch.inference_mode():
        reference = torch.cat(
            [network(torch.from_numpy(block)) for block in np.array_split(inputs, -(-len(inputs) // batch_rows(inputs)))]
        )
    expected, outputs = reference.float().numpy(), predict(content, inputs)
    if outputs.shape != expected.shape:
        raise RuntimeError(f"the exported file gives outputs of shape {outputs.shape}, the network of {expected.shape}")
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(outputs - expected).max())
    if tolerance is not None and not difference <= tolerance * scale:
        raise RuntimeError(f"the exported file differs from the network by {difference:.3g}; {tolerance * scale:.3g} is allowed")
    return {
        "rows": len(inputs),
        "max_difference": difference,
        "largest_output": scale,
        "tolerance": tolerance,
        "equal_decisions_share": float((outputs.argmax(-1) == expected.argmax(-1)).mean()),
    }


def fold_scaling(model: ModelProto) -> None:
    """Fold `x * scale + shift` into the unpadded convolution that is its only consumer.

    The outputs stay the same with two operators fewer. Integer pixels then reach the convolution unscaled, so that
    quantization can compute on them directly.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    consumers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    for multiply in [node for node in graph.node if node.op_type == "Mul"]:
        add = _sole_consumer(consumers, multiply, "Add")
        conv = _sole_consumer(consumers, add, "Conv") if add else None
        if add is None or conv is None or not _is_unpadded(conv) or conv.input[1] not in constants:
            continue
        scale, shift = _constant_per_channel(multiply, constants), _constant_per_channel(add, constants)
        bias = constants.get(conv.input[2]) if len(conv.input) > 2 else None
        if scale is None or shift is None or len(consumers[conv.input[1]]) > 1 or (len(conv.input) > 2 and bias is None):
            continue
        weight_OCHW = numpy_helper.to_array(constants[conv.input[1]]).astype(np.float64)
        bias_O = numpy_helper.to_array(bias).astype(np.float64) if bias else np.zeros(len(weight_OCHW))
        folded_O = bias_O + (weight_OCHW * shift).sum(axis=(1, 2, 3))
        constants[conv.input[1]].CopyFrom(numpy_helper.from_array((weight_OCHW * scale).astype(np.float32), conv.input[1]))
        graph.initializer.append(numpy_helper.from_array(folded_O.astype(np.float32), f"{conv.name}_bias"))
        source = next(name for name in multiply.input if name not in constants)
        del conv.input[2:]
        conv.input[0] = source
        conv.input.append(f"{conv.name}_bias")
        graph.node.remove(multiply)
        graph.node.remove(add)
        remove_unused(model)


def fold_padding(model: ModelProto) -> None:
    """Fold zero padding of height and width into the convolution that is its only consumer."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for pad in [node for node in graph.node if node.op_type == "Pad" and len(node.input) <= 3]:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        if len(readers) != 1 or readers[0].op_type != "Conv" or pad.input[1] not in constants:
            continue
        mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
        value = constants.get(pad.input[2]) if len(pad.input) == 3 and pad.input[2] else np.zeros(())
        widths = constants[pad.input[1]].reshape(2, -1)
        zeros = mode == b"constant" and value is not None and not value.any()
        if not zeros or widths.shape[1] != 4 or widths[:, :2].any() or (widths < 0).any():
            continue
        own = next((attribute for attribute in readers[0].attribute if attribute.name == "pads"), None)
        if own is None:
            readers[0].attribute.append(onnx.helper.make_attribute("pads", [0, 0, 0, 0]))
            own = readers[0].attribute[-1]
        own.ints[:] = [int(before + after) for before, after in zip(own.ints, widths[:, 2:].ravel(), strict=True)]
        readers[0].input[0] = pad.input[0]
        graph.node.remove(pad)
        remove_unused(model)


def with_short_names(content: bytes) -> bytes:
    """The model with numbers for names of tensors and none for nodes, without what a runtime infers (shapes in between).

    Names are a fifth of a small file. The graph's inputs and outputs keep theirs. A graph with others inside stays as it is.
    """
    model = from_bytes(content)
    graph = model.graph
    if model.functions or any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return content
    del graph.value_info[:]
    outside = {value.name for value in (*graph.input, *graph.output)}
    tensors = [*(tensor.name for tensor in graph.initializer), *(name for node in graph.node for name in node.output)]
    inside = [name for name in dict.fromkeys(tensors) if name and name not in outside]
    short = {name: f"t{number}" for number, name in enumerate(inside)}
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    for node in graph.node:
        node.ClearField("name")
        node.input[:] = [short.get(name, name) for name in node.input]
        node.output[:] = [short.get(name, name) for name in node.output]
    used = {node.domain for node in graph.node} | {""}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return to_bytes(model)


def remove_unused(model: ModelProto) -> None:
    """Remove constants and shapes of tensors that no node reads."""
    graph = model.graph
    inputs = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    outputs = {name for node in graph.node for name in node.output}
    for values, names in ((graph.initializer, inputs), (graph.value_info, outputs)):
        kept = [value for value in values if value.name in names]
        del values[:]
        values.extend(kept)


def _sole_consumer(consumers: Mapping[str, list[NodeProto]], node: NodeProto, op_type: str) -> NodeProto | None:
    """The only node that reads the output of `node`, if it is of this type and reads it first; else None."""
    nodes = consumers.get(node.output[0], [])
    return nodes[0] if len(nodes) == 1 and nodes[0].op_type == op_type and nodes[0].input[0] == node.output[0] else None


def _is_unpadded(conv: NodeProto) -> bool:
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in conv.attribute}
    return not any(values.get("pads", [0])) and values.get("auto_pad", b"NOTSET") == b"NOTSET" and values.get("group", 1) == 1


def _constant_per_channel(node: NodeProto, constants: Mapping[str, TensorProto]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The constant that `node` multiplies or adds, if it holds one value or one per channel (1, C, 1, 1)."""
    tensors = [constants[name] for name in node.input if name in constants]
    values = numpy_helper.to_array(tensors[0]).astype(np.float64) if len(tensors) == 1 else None
    if values is None or (values.size > 1 and (values.ndim != 4 or values.shape[1] != values.size)):
        return None
    return values.reshape(1, -1, 1, 1)


def _strip_debug_info(model: ModelProto) -> None:
    """Remove the exporter's debug information, such as source lines and paths of this machine."""
    graph = model.graph
    del model.metadata_props[:]
    for element in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, *model.functions]:
        del element.metadata_props[:]
        element.doc_string = ""


@contextmanager
def silence_exporter() -> Iterator[None]:
    """Suppress the log messages and warnings of torch's exporter about itself; other warnings are shown."""
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
                (DeprecationWarning, r"You are using the legacy TorchScript-based ONNX export"),
                (DeprecationWarning, r"The feature will be removed"),
                (UserWarning, r"The \.grad attribute of a Tensor that is not a leaf"),
            ):
                warnings.filterwarnings("ignore", message=message, category=category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
