"""A small causal language model: an LSTM that gives the log-probability of each next token.

Input and output embeddings are tied (Press and Wolf 2017, arXiv 1608.05859).

Legend: B batch, L tokens, D width, H hidden, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError
from tasks.models.nlp._recurrent_layers import RecurrentLayer


class TextWriter(nn.Module):
    """Token ids (B, L), 0 for padding, to log-probabilities (B, L - 1) of each token after the first; 0 for padding."""

    def __init__(self, *, tokens: int, width: int = 96, hidden: int = 160, dropout: float = 0.1) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "width": width, "hidden": hidden, "dropout": dropout}
        if min(tokens - 2, width, hidden) < 1 or not 0 <= dropout < 1:
            raise UserError(f"{self.fields}: expected 3 tokens, positive widths and dropout below 1")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.onward = RecurrentLayer(width, hidden, "lstm")
        self.narrow = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(tokens))
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.1)[0] = 0

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Natural logarithms of the probabilities of the tokens, (B, L - 1)."""
        token_BL = torch.where(tokens_BL < self.fields["tokens"], tokens_BL, 1).long()
        logits_BLV = self.scores(token_BL[:, :-1])
        next_BL1 = token_BL[:, 1:].unsqueeze(2)
        log_probability_BL = logits_BLV.gather(2, next_BL1).squeeze(2) - logits_BLV.logsumexp(2)
        return log_probability_BL * (tokens_BL[:, 1:] != 0)

    def scores(self, tokens_BL: Tensor) -> Tensor:
        """Logits (B, L, V) of every token as the next one."""
        x_BLD = self.dropout(self.embedding(tokens_BL))
        y_BLD = self.narrow(self.dropout(self.onward(x_BLD)))
        logits_BLV: Tensor = y_BLD @ self.embedding.weight.T + self.bias
        return logits_BLV

    def groups(self) -> dict[str, ChannelGroup]:
        """The states, and the width of the tied embeddings."""
        hidden_producers = tuple((f"onward.{name}", 0) for name in ("read_HGD", "recall_HGH", "bias_HG"))
        width_producers = (("embedding.weight", 1), ("narrow.weight", 0), ("narrow.bias", 0))
        return {
            "hidden": ChannelGroup(
                self.fields["hidden"],
                hidden_producers,
                (("onward.recall_HGH", 2, 1), ("narrow.weight", 1, 1)),
                resize_field("hidden"),
            ),
            "width": ChannelGroup(self.fields["width"], width_producers, (("onward.read_HGD", 2, 1),), resize_field("width")),
        }
