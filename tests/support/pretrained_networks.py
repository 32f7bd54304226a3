"""Random weights in the format of the package of EfficientNet-Lite0, for networks of few blocks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tasks.models.vision.efficientnet_lite0 import EfficientnetLite0


def packaged_tensors(blocks: int) -> dict[str, Tensor]:
    """Random tensors for `blocks` blocks and the one after them, named as in `efficientnet-lite-pytorch`."""
    torch.manual_seed(0)
    larger = EfficientnetLite0(side=32, classes=2, blocks=blocks + 1)
    tensors = {}
    for name, tensor in larger.state_dict().items():
        if tensor.is_floating_point():
            tensor = torch.rand_like(tensor) + 0.5 if "running_var" in name else torch.randn_like(tensor) * 0.3
        tensors["_" + name.replace("blocks.", "blocks.", 1)] = tensor
    return {_with_underscores(name): tensor for name, tensor in tensors.items()}


def write_packaged_weights(path: Path, blocks: int = 2) -> Path:
    """The file of such tensors, as `torch.save` writes it."""
    torch.save(packaged_tensors(blocks), path)
    return path


def _with_underscores(name: str) -> str:
    parts = name.lstrip("_").split(".")
    inner = 2 if parts[0] == "blocks" else 0
    return ".".join(["_" + parts[0], *(("_" if at == inner else "") + part for at, part in enumerate(parts) if at)])
