"""A bidirectional recurrent network for texts, with maximum and mean pooling over tokens.

Padding is never read: the second direction reads each text reversed within its own length.

Legend: B batch, L tokens, D width, H hidden, G gates, K classes, P pools (maximum and mean of each direction).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError
from tasks.models.nlp._recurrent_layers import GATES, RecurrentLayer, reversed_positions

POOLS = 4


class TextLstm(nn.Module):
    """Token ids (B, L), 0 for padding, to logits (B, K). Ids beyond the table are read as 1, the unknown token."""

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
            raise UserError(f"{self.fields}: expected 3 tokens, 2 classes, positive widths, cell lstm or gru, dropout below 1")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.onward, self.turned = RecurrentLayer(width, hidden, cell), RecurrentLayer(width, hidden, cell)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(POOLS * hidden, classes)
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.1)[0] = 0

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Logits (B, K)."""
        if not torch.compiler.is_exporting():
            tokens_BL = tokens_BL[:, : max(1, int((tokens_BL != 0).any(0).sum()))]
        present_BL1 = (tokens_BL != 0).unsqueeze(2)
        count_B1 = present_BL1.sum(1)
        token_BL = torch.where(tokens_BL < self.fields["tokens"], tokens_BL, 1)
        pools = []
        for reader, read_BL in ((self.onward, token_BL), (self.turned, token_BL.gather(1, reversed_positions(tokens_BL != 0)))):
            h_BLH = reader(self.dropout(self.embedding(read_BL)))
            pools.append(torch.where(present_BL1, h_BLH, -1.0).amax(1))  # a state lies between -1 and 1
            pools.append((h_BLH * present_BL1).sum(1) / count_B1.clamp(min=1))
        logits_BK: Tensor = self.head(self.dropout(torch.stack(pools, dim=2).flatten(1)))
        return logits_BK

    def groups(self) -> dict[str, ChannelGroup]:
        """The width of the embeddings, and the states, equally many in each direction."""
        readers = ("onward", "turned")
        reads = tuple((f"{reader}.read_HGD", 2, 1) for reader in readers)
        carried = [(f"{reader}.{name}", 0, 1) for reader in readers for name in ("read_HGD", "recall_HGH", "bias_HG")]
        recalls = [(f"{reader}.recall_HGH", 2, 1) for reader in readers]
        return {
            "width": ChannelGroup(self.fields["width"], (("embedding.weight", 1),), reads, resize_field("width")),
            "hidden": ChannelGroup(
                self.fields["hidden"],
                tuple((key, dimension) for key, dimension, _ in carried),
                (*recalls, ("head.weight", 1, POOLS)),
                resize_field("hidden"),
            ),
        }
