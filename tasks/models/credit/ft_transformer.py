"""FT-Transformer: every number and category of a row is a token of a Transformer encoder.

Y. Gorishniy, I. Rubachev, V. Khrulkov, A. Babenko 2021, "Revisiting deep learning models for tabular data", arXiv 2106.11959.

Legend: B rows, F numeric columns, C categorical columns, T tokens (1 + F + C), D width, H heads, E width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError
from tasks.models.credit._quantile_layer import QuantileTransform


class FtTransformer(nn.Module):
    """Rows (B, F + C) of unscaled numbers (NaN where missing) and category indices, to logits (B, 1)."""

    def __init__(
        self,
        *,
        numbers: int = 0,
        knots: int = 16,
        sizes: Sequence[int] = (),
        width: int = 32,
        heads: int = 4,
        hidden: Sequence[int] = (64, 64),
        dropout: float = 0.1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"width={width} is not a multiple of heads={heads}; try {heads * max(1, round(width / heads))}")
        if not numbers + len(sizes):
            raise UserError("no numeric and no categorical column: a row needs at least one")
        self.fields: dict[str, Any] = {
            "numbers": numbers,
            "knots": knots,
            "sizes": list(sizes),
            "width": width,
            "heads": heads,
            "hidden": list(hidden),
            "dropout": dropout,
            "outputs": outputs,
        }
        self.numbers = numbers
        self.curves = QuantileTransform(numbers, knots)
        self.weight = nn.Parameter(torch.empty(numbers, width).uniform_(-(width**-0.5), width**-0.5))
        self.bias = nn.Parameter(torch.empty(numbers, width).uniform_(-(width**-0.5), width**-0.5))
        self.missing = nn.Parameter(torch.zeros(numbers, width))
        self.categories = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        self.reader = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(_Block(width, heads, inner, dropout) for inner in hidden)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, outputs)

    def forward(self, inputs_BX: Tensor) -> Tensor:
        x_BTD = self.tokens(inputs_BX)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        outputs_BK: Tensor = self.leave(self.norm(x_BTD[:, 0]).relu())
        return outputs_BK

    def tokens(self, inputs_BX: Tensor) -> Tensor:
        """The classification token, then one token per number and category, (B, T, D)."""
        tokens = [self.reader.expand(inputs_BX.shape[0], 1, -1)]
        if self.numbers:
            score_BF, missing_BF = self.curves(inputs_BX[:, : self.numbers])
            tokens.append(score_BF.unsqueeze(-1) * self.weight + missing_BF.unsqueeze(-1) * self.missing + self.bias)
        places_BC = inputs_BX[:, self.numbers :].long()
        tokens += [table(places_BC[:, place]).unsqueeze(1) for place, table in enumerate(self.categories)]
        return torch.cat(tokens, 1)

    def groups(self) -> dict[str, ChannelGroup]:
        """The hidden units of every block."""
        return {
            f"blocks.{place}": ChannelGroup(
                inner,
                ((f"blocks.{place}.widen.weight", 0),),
                ((f"blocks.{place}.widen.bias", 0, 1), (f"blocks.{place}.narrow.weight", 1, 1)),
                resize_field("hidden", place),
            )
            for place, inner in enumerate(self.fields["hidden"])
        }

    @classmethod
    def smaller(cls, fields: dict[str, Any], share: float) -> dict[str, Any]:
        """The fields of a student: the first block only, with `share` of the width and of the hidden units."""
        width = fields["heads"] * max(2, round(fields["width"] * share / fields["heads"]))
        return {**fields, "width": width, "hidden": [max(8, round(fields["hidden"][0] * share))]}


class _Block(nn.Module):
    """Pre-norm Transformer block: attention, then a feed-forward network, each with a residual connection."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        batch, tokens, width = x_BTD.shape
        projected = self.ask(self.before(x_BTD)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query_BHTE, key_BHTE, value_BHTE = projected.permute(2, 0, 3, 1, 4).unbind(0)
        weight_BHTT = functional.softmax(query_BHTE @ key_BHTE.transpose(2, 3) * (width // self.heads) ** -0.5, -1)
        attended_BTD = (self.dropout(weight_BHTT) @ value_BHTE).transpose(1, 2).reshape(batch, tokens, width)
        x_BTD = x_BTD + self.merge(attended_BTD)
        added: Tensor = x_BTD + self.narrow(self.dropout(functional.gelu(self.widen(self.between(x_BTD)))))
        return added
