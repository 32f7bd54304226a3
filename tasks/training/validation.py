"""How good a network is on the rows it does not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tasks.training import precision
from tasks.training.batches import Rows
from tasks.training.precision import Plan

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.core.use_case import Array
    from tasks.training.interfaces import Error, Monitor, Objective

PREDICT_ROWS = 512


@dataclass(frozen=True, slots=True)
class Validator:
    """The validation rows and what is asked of them; `sign` turns the first measure into a score to raise."""

    rows: Rows
    monitor: Monitor | None
    error: Error | None
    sign: float

    def measure(self, outputs: Array, loss: float) -> tuple[dict[str, float], float, float]:
        """All measures by name, the score, and its standard error."""
        found = dict(self.monitor(outputs, self.rows.targets.cpu().numpy())) if self.monitor else {}
        score = self.sign * next(iter(found.values())) if found else -loss
        return found, score, self.error(outputs) if self.error and found else 0.0

    def __call__(self, network: nn.Module, objective: Objective, plan: Plan) -> tuple[dict[str, float], float, float]:
        """What the rows say of a network: points for the curves, the score, and its standard error."""
        outputs, loss = self.outputs(network, objective, plan)
        measured, score, error = self.measure(outputs, loss)
        return {"validation_loss": loss} | {f"validation_{name}": float(value) for name, value in measured.items()}, score, error

    @torch.no_grad()
    def outputs(self, network: nn.Module, objective: Objective, plan: Plan) -> tuple[Array, float]:
        """Outputs (N, ...) for all rows, and their mean objective."""
        blocks, loss_sum = [], torch.zeros((), device=plan.device)
        for start in range(0, len(self.rows), PREDICT_ROWS):
            block = torch.arange(start, min(start + PREDICT_ROWS, len(self.rows)))
            x, y = self.rows.take(block, plan.device)
            x = precision.prepared_batch(x, plan)
            outputs = forward(network, x, plan)
            loss_sum += objective(lambda _, known=outputs: known, x, y) * len(block)  # type: ignore[misc]
            blocks.append(outputs.cpu())
        return torch.cat(blocks).numpy(), float(loss_sum) / len(self.rows)


def forward(network: nn.Module, batch: Tensor, plan: Plan) -> Tensor:
    """Outputs of a prepared batch in evaluation mode, float32; the network is left in the mode it was in."""
    was_training = network.training
    network.eval()
    with torch.no_grad(), plan.autocast():
        outputs: Tensor = network(batch)
    network.train(was_training)
    return outputs.float()
