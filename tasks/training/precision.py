"""Where and in which number format a fit computes: decided once per machine and network, and kept, so all doors agree."""

from __future__ import annotations

import json
import os
import platform
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

from tasks.core.atomic_files import hash_json
from tasks.core.errors import UserError
from tasks.core.settings import Training

WORTH = 1.3
"""bf16 is taken on a CPU only where it is this many times faster, so that noise cannot flip the choice."""
ROUNDS = 5
PROBE_ROWS = 128
PROBE_S = 2.0

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Plan:
    """The device, the number format of activations, whether images lie channels last, and why."""

    device: str
    precision: Precision
    channels_last: bool
    reason: str

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which a network computes in this plan's format; weights stay float32."""
        return torch.autocast(self.device, dtype=DTYPES[self.precision], enabled=self.precision != "fp32")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan(network: nn.Module, inputs: Tensor, training: Training) -> Plan:
    """Choose for `network` and a batch of its `inputs` (B, ...).

    On a GPU bf16, or fp16 where it has no bf16. On a CPU fp32 unless bf16 was timed to be `WORTH` times faster
    on this kind of machine. What `training.precision` and `training.device` name goes.
    """
    device = _device(training.device)
    channels_last = inputs.ndim == 4
    if training.precision == "fp16" and device == "cpu":
        raise UserError("training.precision is 'fp16', which needs a CUDA device; take 'bf16', 'fp32' or 'auto' on a CPU")
    if training.precision != "auto":
        return Plan(device, training.precision, channels_last, "as asked")
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Plan(device, "bf16", channels_last, f"{torch.cuda.get_device_name()} computes in bf16")
        return Plan(device, "fp16", channels_last, f"{torch.cuda.get_device_name()} has no bf16")
    return _timed(network, inputs, channels_last)


def _device(asked: str) -> str:
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device is 'cuda' but torch sees no CUDA device; take 'auto' or 'cpu'")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def _timed(network: nn.Module, inputs: Tensor, channels_last: bool) -> Plan:
    """The kept answer for this kind of CPU and network, or a new one by timing."""
    question = {
        "cpu": cpu_model(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "network": type(network).__qualname__,
        "tensors": [[name, list(tensor.shape)] for name, tensor in network.state_dict().items()],
        "inputs": [str(inputs.dtype), *inputs.shape[1:]],
    }
    path = user_cache_path("bonsai") / "precision" / f"{hash_json(question)}.json"
    speedup = _kept(path)
    if speedup is None:
        speedup = _keep(path, question, _bf16_speedup(network, inputs[:PROBE_ROWS], channels_last))
    precision: Precision = "bf16" if speedup >= WORTH else "fp32"
    return Plan("cpu", precision, channels_last, f"bf16 is {speedup:.2f} times as fast as fp32 here, {WORTH} needed")


def _bf16_speedup(network: nn.Module, inputs: Tensor, channels_last: bool) -> float:
    """How many times faster a training step is in bf16: median over interleaved rounds, in CPU seconds."""
    candidates = [Plan("cpu", precision, channels_last, "") for precision in ("fp32", "bf16")]
    twins = [prepared(deepcopy(network).train(), candidate) for candidate in candidates]
    batch = prepared_batch(inputs, candidates[0])
    ratios: list[float] = []
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        for _ in range(ROUNDS + 1):
            spent = [_step_s(twin, batch, candidate) for twin, candidate in zip(twins, candidates, strict=True)]
            ratios.append(spent[0] / spent[1])
            if len(ratios) > 3 and time.process_time() - began > PROBE_S:
                break
    return median(ratios[1:])  # the first round warms up


def _step_s(network: nn.Module, batch: Tensor, candidate: Plan) -> float:
    began = time.process_time()
    with candidate.autocast():
        outputs = network(batch)
    outputs.float().square().mean().backward()
    network.zero_grad(set_to_none=True)
    return time.process_time() - began


def prepared(network: nn.Module, chosen: Plan) -> nn.Module:
    """`network`, moved in place to the plan's device and layout."""
    network.to(chosen.device)
    if chosen.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def prepared_batch(batch: Tensor, chosen: Plan) -> Tensor:
    """A batch on the plan's device and in its layout."""
    batch = batch.to(chosen.device, non_blocking=True)
    return batch.contiguous(memory_format=torch.channels_last) if chosen.channels_last else batch


def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _kept(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["speedup"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not whole: time it again


def _keep(path: Path, question: dict[str, Any], speedup: float) -> float:
    """Keep an answer unless another process was first, whose answer then holds. Without a writable cache it is done without."""
    mine = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text(json.dumps({"speedup": speedup, "question": question}, indent=2), encoding="utf-8")
        if path.exists() and _kept(path) is None:
            path.unlink()
        with suppress(FileExistsError):
            path.hardlink_to(mine)
        mine.unlink()
    except OSError:
        return speedup
    kept = _kept(path)
    return speedup if kept is None else kept
