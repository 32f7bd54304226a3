"""The first layer of every network for tables: numbers pass curves to normal scores, a missing one is 0.

Legend: B rows, F numbers, K knots.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Curves(nn.Module):
    """Numbers (B, F), NaN where missing, to normal scores (B, F) and whether each was missing (B, F).

    The curves are learnt from train rows by rank, not by gradient; they are kept with the weights.
    """

    least: Tensor
    start: Tensor
    run: Tensor
    slope: Tensor

    def __init__(self, numbers: int, knots: int) -> None:
        super().__init__()
        self.register_buffer("least", torch.zeros(numbers))
        for name in ("start", "run", "slope"):
            self.register_buffer(name, torch.zeros(numbers, max(1, knots - 1)))

    def set(self, knots: Sequence[Sequence[float]], scores: Sequence[Sequence[float]]) -> None:
        """Take the curves through these points (F, K), knots rising."""
        at_FK, score_FK = torch.tensor(knots, dtype=torch.float64), torch.tensor(scores, dtype=torch.float64)
        run_FK = at_FK.diff(dim=1)
        self.least.copy_(score_FK[:, 0])
        self.start.copy_(at_FK[:, :-1])
        self.run.copy_(run_FK)
        self.slope.copy_(torch.where(run_FK > 0, score_FK.diff(dim=1) / run_FK.clamp_min(1e-30), 0.0))

    def forward(self, numbers_BF: Tensor) -> tuple[Tensor, Tensor]:
        missing_BF = torch.isnan(numbers_BF)
        known_BF1 = torch.where(missing_BF, 0.0, numbers_BF).unsqueeze(-1)
        passed_BFK = torch.minimum((known_BF1 - self.start).clamp_min(0.0), self.run)
        score_BF = (passed_BFK * self.slope).sum(-1) + self.least
        return torch.where(missing_BF, 0.0, score_BF), missing_BF.to(score_BF.dtype)
