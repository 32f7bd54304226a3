"""Multiply-accumulate operations of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array


def macs(network: nn.Module, inputs: Array) -> int:
    """Multiply-accumulates for one row of `inputs` (N, ...), counted by torch in convolutions and matrix products."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    if hasattr(network, "onnx_bytes"):
        return int(network.macs())  # type: ignore[operator]
    was_training = network.training
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _countable_kernels(), counter:
        network.eval()(torch.from_numpy(np.ascontiguousarray(inputs[:1])))
    network.train(was_training)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _countable_kernels() -> Iterator[None]:
    """Run recurrence and attention as matrix products, because torch's counter does not count their fused kernels."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN", category=UserWarning)
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
