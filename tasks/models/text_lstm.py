"""A recurrent network reads a text from both ends; what stood out anywhere, and what was usual, decides.

Padding is never read: the second direction reads each text turned round within its own length.

Legend: B batch, L tokens, D width, H hidden, G gates, K classes, P pools (most and mean of each direction).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tasks.contracts import Group, Mistake

GATES = {"lstm": 4, "gru": 3}
POOLS = 4


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


class TextLstm(nn.Module):
    """Token numbers (B, L), 0 behind the end, to logits (B, K). Numbers beyond the table are read as 1, the unknown."""

    def __init__(
        self,
        *,
        tokens: int,
        classes: int,
        width: int = 64,
        hidden: int = 96,
        cell: Literal["lstm", "gru"] = "lstm",
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "classes": classes, "width": width}
        self.fields |= {"hidden": hidden, "cell": cell, "dropout": dropout}
        if min(tokens - 2, classes - 1, width, hidden) < 1 or cell not in GATES or not 0 <= dropout < 1:
            raise Mistake(f"{self.fields}: expected 3 tokens, 2 classes, positive widths, cell lstm or gru, dropout below 1")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.onward, self.turned = Reader(width, hidden, cell), Reader(width, hidden, cell)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(POOLS * hidden, classes)
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.1)[0] = 0

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Logits (B, K)."""
        if not torch.compiler.is_exporting():
            tokens_BL = tokens_BL[:, : max(1, int((tokens_BL != 0).any(0).sum()))]
        there_BL1 = (tokens_BL != 0).unsqueeze(2)
        count_B1 = there_BL1.sum(1)
        place_L = torch.arange(tokens_BL.shape[1], device=tokens_BL.device)
        turned_BL = torch.where(place_L < count_B1, count_B1 - 1 - place_L, place_L)
        known_BL = torch.where(tokens_BL < self.fields["tokens"], tokens_BL, 1)
        pools = []
        for reader, read_BL in ((self.onward, known_BL), (self.turned, known_BL.gather(1, turned_BL))):
            h_BLH = reader(self.dropout(self.embedding(read_BL)))
            pools.append(torch.where(there_BL1, h_BLH, -1.0).amax(1))  # a state lies between -1 and 1
            pools.append((h_BLH * there_BL1).sum(1) / count_B1.clamp(min=1))
        logits_BK: Tensor = self.head(self.dropout(torch.stack(pools, dim=2).flatten(1)))
        return logits_BK

    def groups(self) -> dict[str, Group]:
        """The width of the embeddings, and the states, as many in each direction."""
        readers = ("onward", "turned")
        reads = tuple((f"{reader}.read_HGD", 2, 1) for reader in readers)
        carried = [(f"{reader}.{name}", 0, 1) for reader in readers for name in ("read_HGD", "recall_HGH", "bias_HG")]
        recalls = [(f"{reader}.recall_HGH", 2, 1) for reader in readers]
        return {
            "width": Group(self.fields["width"], (("embedding.weight", 1),), reads, _resize("width")),
            "hidden": Group(
                self.fields["hidden"],
                tuple((key, dimension) for key, dimension, _ in carried),
                (*recalls, ("head.weight", 1, POOLS)),
                _resize("hidden"),
            ),
        }


def _resize(name: str) -> Any:
    def resize(fields: dict[str, Any], count: int) -> dict[str, Any]:
        return {**fields, name: count}

    return resize
