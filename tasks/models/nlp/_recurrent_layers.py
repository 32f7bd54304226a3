"""One direction of a recurrent network, its weights laid out so that a state and all its gates can be taken out together.

Legend: B batch, L tokens, D width, H hidden, G gates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

GATES = {"lstm": 4, "gru": 3}


class Reader(nn.Module):
    """One direction of an LSTM or GRU over (B, L, D) to (B, L, H).

    Weights lie state by state, (H, G, ...), so that a state and all its gates can be taken out together.
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
                self.bias_HG[:, 1] = 1.0  # begin by not forgetting (Jozefowicz et al. 2015)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """States (B, L, H), from a first state of zeros."""
        read, recall, bias = (w.transpose(0, 1).flatten(0, 1) for w in (self.read_HGD, self.recall_HGH, self.bias_HG))
        weights = [read, recall, bias, torch.zeros_like(bias)]
        first_1BH = x_BLD.new_zeros(1, x_BLD.shape[0], len(self.bias_HG))
        if self.cell == "lstm":
            h_BLH: Tensor = torch.lstm(x_BLD, (first_1BH, first_1BH), weights, True, 1, 0.0, self.training, False, True)[0]
        else:
            h_BLH = torch.gru(x_BLD, first_1BH, weights, True, 1, 0.0, self.training, False, True)[0]
        return h_BLH


def turned(there_BL: Tensor) -> Tensor:
    """Places (B, L) that read each text from its end, padding left behind it; turning twice gives the text again."""
    count_B1 = there_BL.sum(1, keepdim=True)
    place_L = torch.arange(there_BL.shape[1], device=there_BL.device)
    return torch.where(place_L < count_B1, count_B1 - 1 - place_L, place_L)
