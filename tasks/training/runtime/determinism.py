"""Reproducible training: deterministic algorithms, and random numbers that depend on seed and step alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic algorithms only; the caller's setting is restored on exit."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # it costs time and changes no result
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = before[1]


def seed_step(seed: int, step: int, device: str, rank: int = 0) -> None:
    """Seed the random numbers of one step, differently in each process.

    Seeds the default generators directly, because `torch.manual_seed` takes ten times as long.
    """
    step_seed = seed * 1_000_003 + step + (rank << 40)
    torch.default_generator.manual_seed(step_seed)
    if device == "cuda":
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(step_seed)
