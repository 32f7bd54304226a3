"""The same bytes each time: algorithms without chance, and random numbers that depend on seed and step alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic() -> Iterator[None]:
    """Algorithms that give the same bytes each time; the caller's choice is put back."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # it costs time and changes no result
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def seed_step(seed: int, step: int, device: str, rank: int = 0) -> None:
    """Seed this step's random numbers, others in each process. `torch.manual_seed` would do, at ten times the cost."""
    mixed = seed * 1_000_003 + step + (rank << 40)
    torch.default_generator.manual_seed(mixed)
    if device == "cuda":
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(mixed)
