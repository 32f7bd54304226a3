"""The functions that a caller gives to the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from tasks.core.use_case import Array

UNIFORMS = 16
"""Uniform random numbers per row for batch augmentation."""
Objective = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]
"""`objective(network, inputs, targets)` is the scalar loss to minimise."""
Monitor = Callable[["Array", "Array"], Mapping[str, float]]
"""`monitor(outputs, targets)` measures all validation rows; its first value chooses the epoch that is kept."""
StandardError = Callable[["Array"], float]
"""The standard error of the monitor's first value, from the same outputs."""
BatchAugmentation = Callable[[Tensor, Tensor], Tensor]
"""`augmentation(inputs, uniforms)` augments a batch (B, ...) with uniform random numbers (B, `UNIFORMS`)."""
