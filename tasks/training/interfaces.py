"""What a caller gives the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from tasks.core.use_case import Array


Objective = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]
"""`objective(network, inputs, targets)` is the scalar to bring down."""
Monitor = Callable[["Array", "Array"], Mapping[str, float]]
"""`monitor(outputs, targets)` measures all validation rows; the first value chooses the epoch that is kept."""
Error = Callable[["Array"], float]
"""The standard error of that first value, from the same outputs."""
Policy = Callable[[Tensor, Tensor], Tensor]
