"""The first layer of every network for tables: a quantile transform of numeric columns to normal scores, 0 where missing.

Legend: B rows, F numeric columns, K knots.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class QuantileTransform(nn.Module):
    """Numbers (B, F), NaN where missing, to normal scores (B, F) and indicators of missing values (B, F).

    Each column has a piecewise linear curve that is fitted to the ranks of train rows, not by gradient, and saved with the
    weights.
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
        """Set the curves to these points (F, K), with ascending knots."""
        at_FK, score_FK = torch.tensor(knots, dtype=torch.float64), torch.tensor(scores, dtype=torch.float64)
        run_FK = at_FK.diff(dim=1)
        self.least.copy_(score_FK[:, 0])
        self.start.copy_(at_FK[:, :-1])
        self.run.copy_(run_FK)
        self.slope.copy_(torch.where(run_FK > 0, score_FK.diff(dim=1) / run_FK.clamp_min(1e-30), 0.0))

    def forward(self, numbers_BF: Tensor) -> tuple[Tensor, Tensor]:
        missing_BF = torch.isnan(numbers_BF)
        value_BF1 = torch.where(missing_BF, 0.0, numbers_BF).unsqueeze(-1)
        covered_BFK = torch.minimum((value_BF1 - self.start).clamp_min(0.0), self.run)
        score_BF = (covered_BFK * self.slope).sum(-1) + self.least
        return torch.where(missing_BF, 0.0, score_BF), missing_BF.to(score_BF.dtype)
