"""How many rows a network can learn from at once: what it computes on the way is kept until its gradients are known."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

PASS_BYTES = 768 * 2**20
"""The most memory that the outputs of all layers and their gradients may take on a CPU."""
MIN_ROWS = 8
"""The fewest rows at once, whatever they take: batch normalization needs some."""
SMALL_INPUT = 3 * 64 * 64
"""Inputs of up to this many bytes a row are never split."""


def rows_per_pass(network: nn.Module, inputs: Tensor, batch: int, *, to_inputs: bool = False) -> int:
    """How many of a batch of rows like `inputs` (N, ...) a network on the CPU learns from at once: `batch`, or fewer.

    `to_inputs`: gradients go back to the inputs, whatever weights are fixed.
    """
    if inputs.ndim != 4 or not len(inputs) or inputs.nbytes <= SMALL_INPUT * len(inputs):
        return batch
    copy, row = deepcopy(network).cpu().float().eval(), inputs[:1].detach().cpu().float().requires_grad_(to_inputs)
    sizes = []

    def count(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            sizes.append(output.nbytes)

    hooks = [module.register_forward_hook(count) for module in copy.modules() if not list(module.children())]
    with torch.enable_grad():
        copy(row)
    for hook in hooks:
        hook.remove()
    return min(batch, max(MIN_ROWS, PASS_BYTES // max(1, 2 * sum(sizes))))


def split_edges(edges: Sequence[int], rows: int) -> list[int]:
    """The borders of batches, and more of them where a batch has more than this many rows: parts of nearly equal size."""
    parts = [
        np.linspace(start, stop, -(-(stop - start) // rows) + 1).astype(int)[:-1].tolist() for start, stop in pairwise(edges)
    ]
    return [*(edge for part in parts for edge in part), edges[-1]]
