"""One direction of a recurrent network, with weights arranged so that a state and all its gates can be pruned together.

Legend: B batch, L tokens, D width, H hidden, G gates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

GATES = {"lstm": 4, "gru": 3}


class RecurrentLayer(nn.Module):
    """One direction of an LSTM or GRU over (B, L, D) to (B, L, H).

    Weights have the shape (H, G, ...), so that a state and all its gates can be pruned together.
    """

    def __init__(self, width: int, hidden: int, cell: str) -> None:
        super().__init__()
        self.cell, gates = cell, GATES[cell]
        bound = 1 / math.sqrt(hidden)
        self.read_HGD = nn.Parameter(torch.empty(hidden, gates, width).uniform_(-bound, bound))
        self.recall_HGH = nn.Parameter(torch.empty(hidden, gates, hidden).uniform_(-bound, bound))
        self.bias_HG = nn.Parameter(torch.zeros(hidden, gates))
        if cell == "lstm":
            with torch.no_grad():
                self.bias_HG[:, 1] = 1.0  # start with open forget gates (Jozefowicz et al. 2015)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """States (B, L, H), from an initial state of zeros."""
        read, recall, bias = (w.transpose(0, 1).flatten(0, 1) for w in (self.read_HGD, self.recall_HGH, self.bias_HG))
        weights = [read, recall, bias, torch.zeros_like(bias)]
        first_1BH = x_BLD.new_zeros(1, x_BLD.shape[0], len(self.bias_HG))
        if self.cell == "lstm":
            h_BLH: Tensor = torch.lstm(x_BLD, (first_1BH, first_1BH), weights, True, 1, 0.0, self.training, False, True)[0]
        else:
            h_BLH = torch.gru(x_BLD, first_1BH, weights, True, 1, 0.0, self.training, False, True)[0]
        return h_BLH


def reversed_positions(present_BL: Tensor) -> Tensor:
    """Positions (B, L) that reverse each text within its length, with padding left at its end; their own inverse."""
    count_B1 = present_BL.sum(1, keepdim=True)
    position_L = torch.arange(present_BL.shape[1], device=present_BL.device)
    return torch.where(position_L < count_B1, count_B1 - 1 - position_L, position_L)
