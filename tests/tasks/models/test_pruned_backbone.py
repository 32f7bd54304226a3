"""The pretrained backbone has no groups of its own: its channels are pruned along its graph, and the rest goes on as usual."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tasks.compression import onnx_export
from tasks.compression.steps.prune import Prune
from tasks.core.compression import parameter_count
from tasks.core.storage.artifacts import Checkpoint
from tasks.models.vision.efficientnet_lite0 import EfficientnetLite0
from tests.support.pretrained_networks import packaged_tensors


def test_half_of_the_channels_go_and_the_narrow_network_is_stored_read_and_exported(tmp_path: Path) -> None:
    network = EfficientnetLite0(side=32, classes=3, blocks=3).eval()
    network.load_pretrained(packaged_tensors(3))
    inputs = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    context: Any = SimpleNamespace(
        inputs=inputs, notes={}, event_log=None, case=SimpleNamespace(training=SimpleNamespace(seed=1))
    )
    pruned: Any = Prune(ratio=0.5, importance="norm", effort=0)(network, context)
    assert context.notes["prune"]["whole"] == context.notes["prune"]["not_traced"] == []
    assert parameter_count(pruned) < 0.5 * parameter_count(network)
    assert pruned.blocks[1].depthwise_conv.groups == pruned.blocks[1].depthwise_conv.out_channels < 96
    Checkpoint(tmp_path, "vision").write(pruned, {})
    read, _ = Checkpoint(tmp_path, "vision").read()
    assert torch.equal(read(torch.from_numpy(inputs)), pruned(torch.from_numpy(inputs)))
    onnx_export.parity(pruned, onnx_export.to_onnx(pruned, inputs, {"classes": ["a", "b", "c"]}, "vision"), inputs, 1e-4)
