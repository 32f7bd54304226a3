"""Several processes fit one network, as torchrun starts them: each takes its part of every batch, the first decides and writes.

Without torchrun there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")


def processes() -> int:
    """How many torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is."""
    return int(os.environ.get("RANK", "0"))


def leads() -> bool:
    """Whether this is the process that decides and writes."""
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """In touch with the others: over NCCL with a GPU each, over gloo without."""
    if processes() == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def told(value: Value) -> Value:
    """What the first process says, in all of them."""
    if processes() == 1:
        return value
    said = [value]
    distributed.broadcast_object_list(said, src=0)
    return said[0]


def mean(value: Tensor) -> Tensor:
    """The mean over all processes."""
    if processes() > 1:
        distributed.all_reduce(value)
        value /= processes()
    return value


def alike(tensors: Iterable[Tensor]) -> None:
    """Give the first process's values to all."""
    if processes() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def wrapped(network: nn.Module, device: str) -> nn.Module:
    """The network, such that what is learnt from it is the mean over the processes."""
    if processes() == 1:
        return network
    shared: nn.Module = nn.parallel.DistributedDataParallel(
        network, device_ids=[torch.cuda.current_device()] if device == "cuda" else None
    )
    return shared


def alone(network: nn.Module) -> AbstractContextManager[None]:
    """Gradients that wait: they are shared with those of the next batch."""
    return network.no_sync() if isinstance(network, nn.parallel.DistributedDataParallel) else nullcontext()


def part(rows: Tensor) -> tuple[Tensor, float]:
    """This process's rows of a batch, and what they weigh beside those of the mean process."""
    if processes() == 1:
        return rows, 1.0
    mine = rows[rank() :: processes()]
    return mine, len(mine) * processes() / len(rows)
