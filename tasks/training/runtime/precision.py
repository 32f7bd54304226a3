"""The device and number format of a fit.

The choice between fp32 and bf16 on a CPU is measured once per machine and network and cached, so that every run takes the same.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import AbstractContextManager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

from tasks.core.errors import UserError
from tasks.core.hardware import cpu_model
from tasks.core.settings import Training
from tasks.core.storage.atomic_files import hash_json
from tasks.training.activations import rows_per_pass

MIN_BF16_SPEEDUP = 1.3
"""On a CPU bf16 is chosen only from this speedup on, so that timing noise does not flip the choice."""
ROUNDS = 5
PROBE_ROWS = 128
PROBE_VALUES = 2**21
"""Most values of the batch that is timed: fewer rows of large pictures."""
PROBE_S = 2.0

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """The device, the number format of activations, whether images are stored channels last, and the reason."""

    device: str
    precision: Precision
    channels_last: bool
    reason: str

    def autocast(self) -> AbstractContextManager[Any]:
        """The autocast context of this plan's number format; weights stay float32."""
        return torch.autocast(self.device, dtype=DTYPES[self.precision], enabled=self.precision != "fp32")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def choose_plan(network: nn.Module, inputs: Tensor, training: Training, forward_only: bool = False) -> ComputePlan:
    """The device and number format for `network` and a batch of its `inputs` (B, ...).

    `training.device` and `training.precision` are followed where they name one. With `auto` a GPU computes in bf16, or in
    fp16 without bf16 support; a CPU computes in fp32 unless bf16 was measured to be `MIN_BF16_SPEEDUP` times as fast in a
    training step, or in the forward pass alone with `forward_only`.
    Raises `UserError` for a device or format that this machine does not have.
    """
    device = _device(training.device)
    channels_last = inputs.ndim == 4
    if training.precision == "fp16" and device == "cpu":
        raise UserError("training.precision is 'fp16', which needs a CUDA device; take 'bf16', 'fp32' or 'auto' on a CPU")
    if training.precision != "auto":
        return ComputePlan(device, training.precision, channels_last, "set by training.precision")
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return ComputePlan(device, "bf16", channels_last, f"{torch.cuda.get_device_name()} computes in bf16")
        return ComputePlan(device, "fp16", channels_last, f"{torch.cuda.get_device_name()} has no bf16")
    return _measured_plan(network, inputs, channels_last, forward_only)


def _device(setting: str) -> str:
    if setting == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device is 'cuda' but torch sees no CUDA device; take 'auto' or 'cpu'")
    if setting == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return setting


def _measured_plan(network: nn.Module, inputs: Tensor, channels_last: bool, forward_only: bool) -> ComputePlan:
    """The CPU plan from the cached speedup for this kind of CPU and network; measured when not cached."""
    probe = {
        "cpu": cpu_model(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "network": type(network).__qualname__,
        "tensors": [[name, list(tensor.shape)] for name, tensor in network.state_dict().items()],
        "inputs": [str(inputs.dtype), *inputs.shape[1:]],
        **({"forward_only": True} if forward_only else {}),
    }
    path = user_cache_path("bonsai") / "precision" / f"{hash_json(probe)}.json"
    speedup = _read_cached(path)
    if speedup is None:
        rows = rows_per_pass(network, inputs, _probe_rows(inputs))
        speedup = _write_cached(path, probe, _bf16_speedup(network, inputs[:rows], channels_last, forward_only))
    precision: Precision = "bf16" if speedup >= MIN_BF16_SPEEDUP else "fp32"
    reason = f"bf16 is {speedup:.2f} times as fast as fp32 here, {MIN_BF16_SPEEDUP} needed"
    return ComputePlan("cpu", precision, channels_last, reason)


def _bf16_speedup(network: nn.Module, inputs: Tensor, channels_last: bool, forward_only: bool = False) -> float:
    """The speedup of a training step in bf16 over fp32: median of interleaved rounds, in CPU seconds."""
    candidates = [ComputePlan("cpu", precision, channels_last, "") for precision in ("fp32", "bf16")]
    copies = [prepare_network(deepcopy(network).train(), candidate) for candidate in candidates]
    batch = prepare_batch(inputs, candidates[0])
    ratios: list[float] = []
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        for _ in range(ROUNDS + 1):
            spent = [_step_s(copy, batch, candidate, forward_only) for copy, candidate in zip(copies, candidates, strict=True)]
            ratios.append(spent[0] / spent[1])
            if len(ratios) > 3 and time.process_time() - began > PROBE_S:
                break
    return median(ratios[1:])  # the first round warms up


def _probe_rows(inputs: Tensor) -> int:
    return min(PROBE_ROWS, max(4, PROBE_VALUES // max(1, inputs[0].numel())))


def _step_s(network: nn.Module, batch: Tensor, candidate: ComputePlan, forward_only: bool = False) -> float:
    began = time.process_time()
    with torch.set_grad_enabled(not forward_only), candidate.autocast():
        outputs = network(batch)
    if forward_only:
        return time.process_time() - began
    outputs.float().square().mean().backward()
    network.zero_grad(set_to_none=True)
    return time.process_time() - began


def prepare_network(network: nn.Module, plan: ComputePlan) -> nn.Module:
    """Move `network` in place to the plan's device and memory layout; returns it."""
    network.to(plan.device)
    if plan.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def prepare_batch(batch: Tensor, plan: ComputePlan) -> Tensor:
    """The batch on the plan's device and in its memory layout."""
    batch = batch.to(plan.device, non_blocking=True)
    return batch.contiguous(memory_format=torch.channels_last) if plan.channels_last else batch


def _read_cached(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["speedup"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: measure again


def _write_cached(path: Path, probe: dict[str, Any], speedup: float) -> float:
    """Cache a speedup; returns the cached one, which is another process's if that was first. An unwritable cache is ignored."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({"speedup": speedup, "question": probe}, indent=2), encoding="utf-8")
        if path.exists() and _read_cached(path) is None:
            path.unlink()
        with suppress(FileExistsError):
            path.hardlink_to(partial)
        partial.unlink()
    except OSError:
        return speedup
    cached = _read_cached(path)
    return speedup if cached is None else cached
