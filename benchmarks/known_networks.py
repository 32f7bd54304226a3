"""ResNet-18, MobileNetV3, a small ViT and a BiLSTM pruned by half: parameters, operations, bytes and latency of the ONNX files.

Also whether removing channels that nothing reads leaves the outputs as they were, for the traced groups and, where it is
installed, for those of torch-pruning (`pip install torch-pruning`). Layer normalisation mixes channels, so
the outputs of a ViT differ.
"""

from __future__ import annotations

import statistics
import time
import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import record
from tasks.compression import onnx_export
from tasks.compression.channels import narrowing, tracing
from tasks.core import onnx_model
from tasks.core.compression import parameter_count
from tasks.evaluation import model_size
from tests.support import known_networks as known

ROUNDS = 60
TOLERANCE = 1e-4


class OfPictures(nn.Module):
    """Pictures (B, 3, H, W) of bytes to a network's logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self.network = network

    def forward(self, inputs: Any) -> Any:
        return self.network(inputs.float() / 255)


def networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Each network with two rows of its inputs."""
    torch.manual_seed(0)
    bilstm = known.BiLstm(4, 5000, width=128, hidden=128)
    vars(bilstm)["fields"] = {}
    pictures = {size: torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8) for size in (64, 96, 128)}
    return {
        "ResNet-18, 96 px": (OfPictures(known.ResNet18(10)), pictures[96]),
        "MobileNetV3 small, 128 px": (OfPictures(known.MobileNetV3(10)), pictures[128]),
        "ViT, 64 px, patch 8, width 192": (OfPictures(known.VisionTransformer(10, 64, width=192, heads=6)), pictures[64]),
        "BiLSTM, 64 tokens": (bilstm, torch.randint(1, 5000, (2, 64))),
    }


def main() -> None:
    """One row per network; latency of batch 1 in one thread, dense and pruned in turn."""
    torch.set_num_threads(1)
    rows = []
    for name, (network, inputs) in networks().items():
        network.eval()
        start = time.process_time()
        trace = tracing.trace(network, inputs)
        traced_s = time.process_time() - start
        keep = {group.name: torch.arange(0, group.size, 2) for group in trace.groups}
        pruned = narrowing.narrow(network, trace, keep)
        vars(pruned)["fields"] = {}
        files = [onnx_export.to_onnx(each, inputs.numpy(), {}, "known") for each in (network, pruned)]
        parity = onnx_export.parity(pruned, files[1], inputs.numpy(), TOLERANCE)
        dense_ms, pruned_ms, ratios = _latency(files, inputs[:1].numpy())
        rows.append(
            {
                "network": name,
                "groups": len(trace.groups),
                "trace_cpu_s": round(traced_s, 1),
                "parameters": parameter_count(network),
                "parameters_share": round(parameter_count(pruned) / parameter_count(network), 3),
                "macs_share": round(model_size.macs(pruned, inputs.numpy()) / model_size.macs(network, inputs.numpy()), 3),
                "bytes_share": round(len(files[1]) / len(files[0]), 3),
                "dense_ms": round(dense_ms, 3),
                "pruned_ms": round(pruned_ms, 3),
                "speedup": round(statistics.median(ratios), 2),
                "speedup_min": round(min(ratios), 2),
                "parity": float(f"{parity['max_difference']:.1e}"),
                "every_traced_group_halved": _traced(network, inputs),
                "every_group_of_torch_pruning_halved": _library(network, inputs),
            }
        )
        print(rows[-1], flush=True)
    record.write("known_networks", "Networks of others, pruned by half along their graph.", rows)


def _latency(files: list[bytes], row: Any) -> tuple[float, float, list[float]]:
    """Median milliseconds of each file, and the ratio of ten blocks."""
    sessions = [onnx_model.create_session(content, threads=1) for content in files]
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for place, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, {"inputs": row})
            times[place].append(1000 * (time.perf_counter() - start))
    blocks = np.array(times).reshape(2, 10, -1)
    ratios = np.median(blocks[0], axis=1) / np.median(blocks[1], axis=1)
    return statistics.median(times[0]), statistics.median(times[1]), ratios.tolist()


def _traced(network: nn.Module, inputs: torch.Tensor) -> str:
    """What happens when half of the channels of every traced group go, after nothing reads those."""
    silent, trace = deepcopy(network), tracing.trace(network, inputs)
    for group in trace.groups:
        gone = np.append(np.arange(group.size) % 2 == 1, False)
        for member in group.members:
            if member.reads:
                places = torch.from_numpy(np.flatnonzero(gone[member.owner]))
                silent.state_dict()[member.key].index_fill_(member.dimension, places, 0.0)
    keep = {group.name: torch.arange(0, group.size, 2) for group in trace.groups}
    return _outcome(silent, narrowing.narrow(silent, trace, keep), inputs)


def _library(network: nn.Module, inputs: torch.Tensor) -> str:
    """The same with the groups of torch-pruning; empty where it is not installed."""
    try:
        import torch_pruning
    except ImportError:
        return ""
    silent = deepcopy(network).eval()
    try:
        half = _halved_groups(torch_pruning, silent, inputs)
        for group in half:
            for dependency, places in group:
                layer = dependency.target.module
                reads = dependency.handler.__name__ == "prune_in_channels" and isinstance(layer, nn.Linear | nn.Conv2d)
                if reads and getattr(layer, "groups", 1) == 1:
                    layer.weight.data[:, places] = 0.0
        pruned = deepcopy(silent)
        for group in _halved_groups(torch_pruning, pruned, inputs):
            group.prune()
        return _outcome(silent, pruned, inputs)
    except Exception as error:
        return f"fails: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:80]}"


def _halved_groups(library: Any, network: nn.Module, inputs: torch.Tensor) -> list[Any]:
    """Of each group of the library that is not an output, the part with every second channel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = library.DependencyGraph().build_dependency(network, example_inputs=inputs, verbose=False)
        types = library.ops
        roots = (types.TORCH_CONV, types.TORCH_LINEAR, types.TORCH_LSTM, types.TORCH_EMBED)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        groups = []
        for group in graph.get_all_groups(ignored_layers=[last], root_module_types=roots):
            root, places = group[0]
            groups.append(graph.get_pruning_group(root.target.module, root.handler, list(range(1, len(places), 2))))
    return groups


def _outcome(one: nn.Module, other: nn.Module, inputs: torch.Tensor) -> str:
    try:
        with torch.inference_mode():
            expected, outputs = one.eval()(inputs), other.eval()(inputs)
    except Exception as error:
        return f"fails: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:80]}"
    difference = float((expected - outputs).abs().max())
    share = parameter_count(other) / parameter_count(one)
    return f"{share:.2f} of the parameters, " + (
        "same outputs" if difference <= TOLERANCE else f"outputs differ by {difference:.1g}"
    )
