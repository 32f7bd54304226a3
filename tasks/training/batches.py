"""Training arrays as tensors: in memory or memory-mapped, and moved to the device once when they fit there."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tasks.core.storage import file_backed

if TYPE_CHECKING:
    from tasks.core.use_case import Array


RESIDENT_BYTES = 8 * 2**20
"""How much of memory-mapped inputs is read before their pages are released."""


class TensorDataset:
    """Inputs (N, ...) and targets (N, ...)."""

    def __init__(self, inputs: Array | Tensor, targets: Array | Tensor) -> None:
        self.inputs, self.targets = as_tensor(inputs), as_tensor(targets)
        self._touched = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def to_device(self, device: str) -> None:
        """Move all rows to a GPU whose free memory is at least three times their size; otherwise leave them."""
        size = self.inputs.nbytes + self.targets.nbytes
        if device == "cuda" and 3 * size < torch.cuda.mem_get_info()[0]:
            self.inputs, self.targets = self.inputs.to(device), self.targets.to(device)

    def take(self, rows: Tensor, device: str) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the rows at these positions, on the device."""
        x, y = self.inputs[rows.to(self.inputs.device)], self.targets[rows.to(self.inputs.device)]
        self._touched += x.nbytes
        if self._touched > RESIDENT_BYTES:
            file_backed.release_pages()
            self._touched = 0
        if device == "cuda" and not x.is_cuda:
            return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)
        return x, y


def as_tensor(array: Array | Tensor) -> Tensor:
    """A tensor that shares the array's memory; nothing in training writes to it."""
    if isinstance(array, Tensor):
        return array
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(array)
