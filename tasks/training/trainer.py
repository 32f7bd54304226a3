"""The training loop behind train and distillation: arrays in, a fitted network out.

The same call gives the same bytes, whether or not it was killed and resumed in between. Every step draws its random
numbers from (seed, step) alone, so no generator state is saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tasks.core.errors import UserError
from tasks.core.hardware import cpu_model
from tasks.core.settings import Training
from tasks.core.storage import file_backed
from tasks.training.batches import TensorDataset, as_tensor
from tasks.training.interfaces import UNIFORMS, BatchAugmentation, Monitor, Objective, StandardError
from tasks.training.loop import TrainingLoop
from tasks.training.resume import FitStateStore, digest
from tasks.training.runtime import distributed, precision
from tasks.training.runtime.determinism import deterministic
from tasks.training.runtime.precision import ComputePlan
from tasks.training.validation import Validator, forward, predict_rows

if TYPE_CHECKING:
    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import Array, InputRange

__all__ = ["UNIFORMS", "BatchAugmentation", "FitResult", "Monitor", "Objective", "StandardError", "fit", "predict"]


@dataclass(frozen=True, slots=True)
class FitResult:
    """The network with its best weights, in evaluation mode on the CPU, and the record of its training."""

    network: nn.Module
    curves: list[dict[str, float]]
    """One entry per epoch: `epoch` (from 1), `loss`, `learning_rate` and the validation metrics."""
    best_epoch: int
    """The epoch whose weights are kept, from 1."""
    epochs: int
    steps: int
    plan: ComputePlan


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
    standard_error: StandardError | None = None,
    augmentation: BatchAugmentation | None = None,
    input_range: InputRange | None = None,
    event_log: EventLog | None = None,
    checkpoint: Path | None = None,
) -> FitResult:
    """Fit a copy of `network` to inputs (N, ...) and targets (N, ...) with the settings in `training`.

    With `validation` (inputs, targets) the best epoch's weights are kept. The score of an epoch is the first value of
    `monitor`, or the negative objective without one. Of all epochs within one `standard_error` of the best score so far
    the latest is kept, because the maximum of a noisy curve is biased; but none whose validation loss is clearly above the
    lowest: it is as often right, and surer of what is wrong. Without `validation` the last epoch is kept.

    With `checkpoint`, a folder, a killed fit that is called again with the same arguments resumes from its last saved state
    and ends with the same bytes. Under torchrun every process calls this with the same arguments and trains on its shard of
    every batch.

    `training.adversarial` needs an `input_range`.

    Raises `UserError` when the loss stops being finite, naming epoch and step, and when the GPU runs out of memory.
    """
    if hasattr(network, "onnx_bytes"):  # an exported file has no weights to fit
        return FitResult(network.eval(), [], 0, 0, 0, ComputePlan("cpu", "fp32", False, "an exported file"))
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise UserError(f"{len(inputs)} inputs and {len(targets)} targets: expected the same number of both, at least one")
    if training.adversarial and input_range is None:
        raise UserError(
            f"training.adversarial is {training.adversarial}, but these inputs are no real values that could be moved, such as "
            "token numbers; set it to 0"
        )
    torch.set_num_threads(training.threads)
    with distributed.process_group(), deterministic(), torch.random.fork_rng():
        dataset = TensorDataset(inputs, targets)
        sample = dataset.inputs[: min(len(dataset), training.batch_size)]
        sample = augmentation(sample, torch.full((len(sample), UNIFORMS), 0.5)) if augmentation else sample
        plan = distributed.broadcast_object(
            precision.choose_plan(network, sample, training) if distributed.is_main_process() else None
        )
        assert plan
        if event_log:
            event_log.log(f"computes on {plan.device} in {plan.precision}: {plan.reason}")
        loop = TrainingLoop(network, dataset, objective, training, plan, augmentation, input_range)
        held_out = TensorDataset(*validation) if validation else None
        states = FitStateStore(checkpoint / _checkpoint_key(network, dataset, held_out, training, plan)) if checkpoint else None
        try:
            validator = Validator(held_out, monitor, standard_error, 1.0 if higher_is_better else -1.0) if held_out else None
            best, progress = loop.run(validator, event_log, states), loop.progress
            return FitResult(best, progress.curves, progress.best_epoch, len(progress.curves), progress.step, plan)
        except torch.OutOfMemoryError:
            smaller = max(1, training.batch_size // 2)
            raise UserError(
                f"the GPU's memory does not hold a batch of {training.batch_size} rows; "
                f"take batch_size={smaller} and accumulate={2 * training.accumulate}"
            ) from None


def predict(network: nn.Module, inputs: Array | Tensor, plan: ComputePlan | None = None) -> Array:
    """Outputs (N, ...) of a network in evaluation mode, float32, computed block by block."""
    plan = plan or ComputePlan("cpu", "fp32", False, "")
    rows = as_tensor(inputs)
    size = predict_rows(rows)
    outputs = []
    for start in range(0, len(rows), size):
        outputs.append(forward(network, precision.prepare_batch(rows[start : start + size], plan), plan).cpu())
        file_backed.release_pages()
    together: Array = torch.cat(outputs).numpy()
    return together


def _checkpoint_key(
    network: nn.Module, dataset: TensorDataset, validation: TensorDataset | None, training: Training, plan: ComputePlan
) -> str:
    """A SHA-256 of what a fit depends on: machine, settings, all code of `tasks`, start weights and data.

    Objective and augmentation are not hashed: they are code, and parameters of the caller, whose folder is its own.
    """
    machine = [torch.__version__, torch.backends.cpu.get_cpu_capability(), cpu_model(), plan.device, plan.precision]
    datasets = [dataset, validation] if validation else [dataset]
    arrays = [array for each in datasets for array in (each.inputs, each.targets)]
    labels = [*machine, repr(training), type(network).__qualname__, str(getattr(network, "fields", ""))]
    return digest(labels, [*network.state_dict().values(), *arrays])
