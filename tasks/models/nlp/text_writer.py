"""A recurrent network reads a text and says at each token how likely the next one was: a small causal language model.

The table that reads tokens also scores them (Press and Wolf 2017, arXiv 1608.05859).

Legend: B batch, L tokens, D width, H hidden, V tokens known.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.core.compression import ChannelGroup
from tasks.core.errors import UserError
from tasks.models.nlp._recurrent_layers import Reader


class TextWriter(nn.Module):
    """Token numbers (B, L), 0 behind the end, to log-probabilities (B, L - 1) of each token after the first; 0 for no token."""

    def __init__(self, *, tokens: int, width: int = 96, hidden: int = 160, dropout: float = 0.1) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "width": width, "hidden": hidden, "dropout": dropout}
        if min(tokens - 2, width, hidden) < 1 or not 0 <= dropout < 1:
            raise UserError(f"{self.fields}: expected 3 tokens, positive widths and dropout below 1")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.onward = Reader(width, hidden, "lstm")
        self.narrow = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(tokens))
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.1)[0] = 0

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Natural logarithms of the probabilities, (B, L - 1)."""
        known_BL = torch.where(tokens_BL < self.fields["tokens"], tokens_BL, 1).long()
        logits_BLV = self.scores(known_BL[:, :-1])
        next_BL1 = known_BL[:, 1:].unsqueeze(2)
        told_BL = logits_BLV.gather(2, next_BL1).squeeze(2) - logits_BLV.logsumexp(2)
        return told_BL * (tokens_BL[:, 1:] != 0)

    def scores(self, tokens_BL: Tensor) -> Tensor:
        """Scores (B, L, V) of every token that may come next."""
        x_BLD = self.dropout(self.embedding(tokens_BL))
        y_BLD = self.narrow(self.dropout(self.onward(x_BLD)))
        logits_BLV: Tensor = y_BLD @ self.embedding.weight.T + self.bias
        return logits_BLV

    def groups(self) -> dict[str, ChannelGroup]:
        """The states, and the width of what is read and told."""

        def resize(name: str) -> Any:
            return lambda fields, count: {**fields, name: count}

        made = tuple((f"onward.{name}", 0) for name in ("read_HGD", "recall_HGH", "bias_HG"))
        told = (("embedding.weight", 1), ("narrow.weight", 0), ("narrow.bias", 0))
        return {
            "hidden": ChannelGroup(
                self.fields["hidden"], made, (("onward.recall_HGH", 2, 1), ("narrow.weight", 1, 1)), resize("hidden")
            ),
            "width": ChannelGroup(self.fields["width"], told, (("onward.read_HGD", 2, 1),), resize("width")),
        }
