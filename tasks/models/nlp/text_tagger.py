"""A bidirectional recurrent network that scores, for each word, every pair of tags, for a linear-chain CRF.

The scores are those of a conditional random field (Lafferty et al. 2001; Lample et al. 2016, arXiv 1603.01360): the emission
of a word plus the transition between tags. The first tag stands before the first word.

Legend: B batch, L words, F features of a word, D width, H hidden, K tags.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError
from tasks.models.nlp._recurrent_layers import RecurrentLayer, reversed_positions


class TextTagger(nn.Module):
    """Feature ids (B, L, F), 0 for padding, to scores (B, L, K, K). Ids beyond the table are read as 1, the unknown feature."""

    def __init__(self, *, tokens: int, classes: int, width: int = 64, hidden: int = 64, dropout: float = 0.4) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "classes": classes, "width": width, "hidden": hidden}
        self.fields["dropout"] = dropout
        if min(tokens - 2, classes - 1, width, hidden) < 1 or not 0 <= dropout < 1:
            raise UserError(f"{self.fields}: expected 3 tokens, 2 tags, positive widths and dropout below 1")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.onward, self.backward_reader = RecurrentLayer(width, hidden, "lstm"), RecurrentLayer(width, hidden, "lstm")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, classes)
        self.follows = nn.Parameter(torch.zeros(classes, classes))
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.3)[0] = 0

    def forward(self, features_BLF: Tensor) -> Tensor:
        """Scores (B, L, K, K) of tag k (last dimension) after tag j."""
        present_BL = features_BLF[:, :, 0] != 0
        token_BLF = torch.where(features_BLF < self.fields["tokens"], features_BLF, 1)
        x_BLD = self.dropout(self.embedding(token_BLF).sum(2))
        back_BL1 = reversed_positions(present_BL).unsqueeze(2)
        onward_BLH = self.onward(x_BLD)
        back_BLH = self.backward_reader(x_BLD.gather(1, back_BL1.expand_as(x_BLD)))
        back_BLH = back_BLH.gather(1, back_BL1.expand_as(back_BLH))
        tags_BLK = self.head(self.dropout(torch.stack((onward_BLH, back_BLH), dim=3).flatten(2)))
        scores_BLKK: Tensor = tags_BLK.unsqueeze(2) + self.follows
        return scores_BLKK

    def groups(self) -> dict[str, ChannelGroup]:
        """The width of the embeddings, and the states, equally many in each direction."""
        readers = ("onward", "backward_reader")
        reads = tuple((f"{reader}.read_HGD", 2, 1) for reader in readers)
        carried = tuple((f"{reader}.{name}", 0) for reader in readers for name in ("read_HGD", "recall_HGH", "bias_HG"))
        recalls = tuple((f"{reader}.recall_HGH", 2, 1) for reader in readers)
        return {
            "width": ChannelGroup(self.fields["width"], (("embedding.weight", 1),), reads, resize_field("width")),
            "hidden": ChannelGroup(self.fields["hidden"], carried, (*recalls, ("head.weight", 1, 2)), resize_field("hidden")),
        }
