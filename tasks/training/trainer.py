"""The one training loop: arrays in, a fitted network out, the same bytes each time, killed in between or not.

Every step draws its random numbers from (seed, step) alone, so nothing of a generator's past has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tasks.core.errors import UserError
from tasks.core.settings import Training
from tasks.training import distributed, precision
from tasks.training.batches import Rows, as_tensor
from tasks.training.determinism import deterministic
from tasks.training.interfaces import Error, Monitor, Objective, Policy
from tasks.training.loop import UNIFORMS, Loop
from tasks.training.precision import Plan
from tasks.training.resume import Resume
from tasks.training.validation import PREDICT_ROWS, Validator, forward

if TYPE_CHECKING:
    from tasks.core.event_log import EventLog
    from tasks.core.use_case import Array

__all__ = ["UNIFORMS", "Error", "Fitted", "Monitor", "Objective", "Policy", "fit", "predict"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit leaves: the network with its best weights, in evaluation mode on the CPU, and how it went."""

    network: nn.Module
    curves: list[dict[str, float]]
    """One entry per epoch: `epoch` (from 1), `loss`, `learning_rate` and what the monitor measured."""
    best_epoch: int
    epochs: int
    steps: int
    plan: Plan


def fit(
    network: nn.Module,
    inputs: Array | Tensor,
    targets: Array | Tensor,
    *,
    objective: Objective,
    training: Training,
    validation: tuple[Array | Tensor, Array | Tensor] | None = None,
    monitor: Monitor | None = None,
    higher_is_better: bool = True,
    error: Error | None = None,
    policy: Policy | None = None,
    event_log: EventLog | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fit a copy of `network` to inputs (N, ...) and targets (N, ...), on the scale `training` sets.

    With `validation` (inputs, targets) the weights of a good epoch are kept: good is the first value of `monitor`, or else
    a low objective, and of all epochs within one standard `error` of the best so far the latest is kept, for the very
    top of a noisy curve is luck. Without it, the last epoch's. With `checkpoint`, a folder, a killed fit called again
    with the same arguments goes on from its last state and ends with the same bytes. Where torchrun started several processes,
    all of them call this with the same arguments, and each works on its part of every batch.

    Raises `UserError` when the loss stops being finite, naming epoch and step, and when the GPU's memory is too small.
    """
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise UserError(f"{len(inputs)} inputs and {len(targets)} targets: a fit needs as many of one as of the other, and some")
    torch.set_num_threads(training.threads)
    with distributed.joined(), deterministic(), torch.random.fork_rng():
        data = Rows(inputs, targets)
        sample = data.inputs[: min(len(data), training.batch_size)]
        sample = policy(sample, torch.full((len(sample), UNIFORMS), 0.5)) if policy else sample
        chosen = distributed.told(precision.plan(network, sample, training) if distributed.leads() else None)
        assert chosen
        if event_log:
            event_log.log(f"computes on {chosen.device} in {chosen.precision}: {chosen.reason}")
        loop = Loop(network, data, objective, training, chosen, policy)
        held_out = Rows(*validation) if validation else None
        resume = Resume(checkpoint / _key(network, data, held_out, training, chosen)) if checkpoint else None
        try:
            judge = Validator(held_out, monitor, error, 1.0 if higher_is_better else -1.0) if held_out else None
            fitted, now = loop.run(judge, event_log, resume), loop.now
            return Fitted(fitted, now.curves, now.best_epoch, len(now.curves), now.step, chosen)
        except torch.OutOfMemoryError:
            smaller = max(1, training.batch_size // 2)
            raise UserError(
                f"the GPU's memory does not hold a batch of {training.batch_size} rows; "
                f"take batch_size={smaller} and accumulate={2 * training.accumulate}"
            ) from None


def predict(network: nn.Module, inputs: Array | Tensor, plan: Plan | None = None) -> Array:
    """Outputs (N, ...) of a network, float32, in evaluation mode, block by block."""
    plan = plan or Plan("cpu", "fp32", False, "")
    rows = as_tensor(inputs)
    blocks = (rows[start : start + PREDICT_ROWS] for start in range(0, len(rows), PREDICT_ROWS))
    outputs: Array = torch.cat([forward(network, precision.prepared_batch(block, plan), plan).cpu() for block in blocks]).numpy()
    return outputs


def _key(network: nn.Module, data: Rows, validation: Rows | None, training: Training, plan: Plan) -> str:
    """A hash of what a fit depends on, the objective and the policy excepted, which are code and the caller's parameters."""
    digest = sha256()
    machine = [torch.__version__, torch.backends.cpu.get_cpu_capability(), precision.cpu_model(), plan.device, plan.precision]
    about = [*machine, repr(training), type(network).__qualname__]
    code = [path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py"))]
    for part in [*(word.encode() for word in about), *code]:
        digest.update(sha256(part).digest())
    rows = [data, validation] if validation else [data]
    for tensor in [*network.state_dict().values(), *(part for each in rows for part in (each.inputs, each.targets))]:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        for block in tensor.detach().cpu().reshape(-1).split(1 << 24):
            digest.update(block.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
