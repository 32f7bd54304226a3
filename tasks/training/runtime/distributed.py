"""Data-parallel training under torchrun: each process takes a shard of every batch, rank 0 decides and writes.

Without torchrun there is one process, and every function here returns its argument unchanged or does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")


def world_size() -> int:
    """The number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Whether this is rank 0, the process that decides and writes."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the default process group: NCCL with one GPU per process, gloo without GPUs."""
    if world_size() == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def broadcast_object(value: Value) -> Value:
    """Broadcast a Python object from rank 0; returns it in every process."""
    if world_size() == 1:
        return value
    objects = [value]
    distributed.broadcast_object_list(objects, src=0)
    return objects[0]


def all_reduce_mean(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes; changes `value` in place."""
    if world_size() > 1:
        distributed.all_reduce(value)
        value /= world_size()
    return value


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Broadcast tensors from rank 0, in place."""
    if world_size() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def data_parallel(network: nn.Module, device: str) -> nn.Module:
    """The network wrapped so that gradients are averaged over the processes."""
    if world_size() == 1:
        return network
    wrapped: nn.Module = nn.parallel.DistributedDataParallel(
        network, device_ids=[torch.cuda.current_device()] if device == "cuda" else None
    )
    return wrapped


def no_gradient_sync(network: nn.Module) -> AbstractContextManager[None]:
    """Accumulate gradients locally; they are synchronised with those of the next batch."""
    return network.no_sync() if isinstance(network, nn.parallel.DistributedDataParallel) else nullcontext()


def shard(rows: Tensor) -> tuple[Tensor, float]:
    """This process's rows of a batch, and the weight of its mean loss relative to an even share."""
    if world_size() == 1:
        return rows, 1.0
    own = rows[rank() :: world_size()]
    return own, len(own) * world_size() / len(rows)
