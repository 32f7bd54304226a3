"""Loss and metrics of a network on the validation rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tasks.training.batches import TensorDataset
from tasks.training.runtime import precision
from tasks.training.runtime.precision import ComputePlan

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.core.use_case import Array
    from tasks.training.interfaces import Monitor, Objective, StandardError

PREDICT_ROWS, PREDICT_BYTES = 512, 3 * 2**20
"""The most rows, and the most bytes of inputs, that a network answers at a time: what it computes takes many times as much."""


@dataclass(frozen=True, slots=True)
class Validator:
    """The validation rows and their metrics; `sign` turns the first metric into a score to maximise."""

    rows: TensorDataset
    monitor: Monitor | None
    standard_error: StandardError | None
    sign: float

    def measure(self, outputs: Array, loss: float) -> tuple[dict[str, float], float, float]:
        """All metrics by name, the score, and its standard error; without a monitor the score is the negative loss."""
        metrics = dict(self.monitor(outputs, self.rows.targets.cpu().numpy())) if self.monitor else {}
        score = self.sign * next(iter(metrics.values())) if metrics else -loss
        return metrics, score, self.standard_error(outputs) if self.standard_error and metrics else 0.0

    def __call__(self, network: nn.Module, objective: Objective, plan: ComputePlan) -> tuple[dict[str, float], float, float]:
        """Validate a network: values for the curves, the score, and its standard error."""
        outputs, loss = self.outputs(network, objective, plan)
        metrics, score, error = self.measure(outputs, loss)
        return {"validation_loss": loss} | {f"validation_{name}": float(value) for name, value in metrics.items()}, score, error

    @torch.no_grad()
    def outputs(self, network: nn.Module, objective: Objective, plan: ComputePlan) -> tuple[Array, float]:
        """Outputs (N, ...) of all rows, and their mean objective."""
        blocks, loss_sum = [], torch.zeros((), device=plan.device)
        size = predict_rows(self.rows.inputs)
        for start in range(0, len(self.rows), size):
            block = torch.arange(start, min(start + size, len(self.rows)))
            x, y = self.rows.take(block, plan.device)
            x = precision.prepare_batch(x, plan)
            outputs = forward(network, x, plan)
            loss_sum += objective(lambda _, computed=outputs: computed, x, y) * len(block)  # type: ignore[misc]
            blocks.append(outputs.cpu())
        return torch.cat(blocks).numpy(), float(loss_sum) / len(self.rows)


def predict_rows(inputs: Tensor) -> int:
    """How many of these rows a network answers at a time."""
    return max(1, min(PREDICT_ROWS, PREDICT_BYTES * len(inputs) // max(1, inputs.nbytes)))


def forward(network: nn.Module, batch: Tensor, plan: ComputePlan) -> Tensor:
    """Outputs of a prepared batch in evaluation mode, float32; the network's mode is restored."""
    was_training = network.training
    network.eval()
    with torch.no_grad(), plan.autocast():
        outputs: Tensor = network(batch)
    network.train(was_training)
    return outputs.float()
