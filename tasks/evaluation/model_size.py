"""Parameters and multiply-accumulate operations of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array


def parameters(network: nn.Module) -> int:
    """Numbers the network keeps, those it does not learn any more included."""
    return sum(weight.numel() for weight in network.parameters())


def macs(network: nn.Module, inputs: Array) -> int:
    """Multiply-accumulates for one row, as torch counts them in convolutions and matrix products."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    was_training = network.training
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _plain_products(), counter:
        network.eval()(torch.from_numpy(np.ascontiguousarray(inputs[:1])))
    network.train(was_training)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _plain_products() -> Iterator[None]:
    """Recurrence and attention as matrix products, which the counter knows, not as kernels of their own, which it does not."""
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
