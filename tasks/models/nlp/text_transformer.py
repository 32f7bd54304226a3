"""A small Transformer encoder for short texts, with mean pooling over tokens.

Normalisation before each layer (Xiong et al. 2020, arXiv 2002.04745), attention as two plain matrix products: on a CPU
and at such lengths nothing else is faster, above all in bf16. Output projections start at zero, so each block starts as identity.

Legend: B batch, L tokens, D width, N heads, A width of a head, F feed-forward width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError

MASKED_SCORE = -1e4
"""Added to the attention score of padding; it still fits into half precision."""


class Block(nn.Module):
    """Pre-norm Transformer block: attention, then a ReLU feed-forward network, each with a residual connection, (B, L, D)."""

    def __init__(self, width: int, heads: int, head_width: int, between: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.offer, self.tell = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.gather = nn.Linear(heads * head_width, width)
        self.widen, self.narrow = nn.Linear(width, between), nn.Linear(between, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.gather.weight)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x_BLD: Tensor, mask_B11L: Tensor) -> Tensor:
        n_BLD = self.norm1(x_BLD)
        q_BNLA, k_BNLA, v_BNLA = (
            layer(n_BLD).unflatten(2, (self.heads, self.head_width)).transpose(1, 2)
            for layer in (self.ask, self.offer, self.tell)
        )
        weight_BNLL = (q_BNLA @ k_BNLA.mT / math.sqrt(self.head_width) + mask_B11L).softmax(3)
        x_BLD = x_BLD + self.dropout(self.gather((weight_BNLL @ v_BNLA).transpose(1, 2).flatten(2)))
        out_BLD: Tensor = x_BLD + self.dropout(self.narrow(self.widen(self.norm2(x_BLD)).relu()))
        return out_BLD


class TextTransformer(nn.Module):
    """Token ids (B, L), 0 for padding, to logits (B, K). Ids beyond the table are read as 1, the unknown token.

    `heads` and `between` (feed-forward widths) hold one number per block. Texts are truncated to `length` tokens.
    """

    def __init__(
        self,
        *,
        tokens: int,
        classes: int,
        length: int = 128,
        width: int = 96,
        heads: Sequence[int] = (4, 4),
        head_width: int = 24,
        between: Sequence[int] = (192, 192),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "classes": classes, "length": length, "width": width}
        self.fields |= {"heads": list(heads), "head_width": head_width, "between": list(between), "dropout": dropout}
        if len(heads) != len(between) or min(tokens - 2, classes - 1, length, width, head_width, *heads, *between) < 1:
            raise UserError(f"{self.fields}: expected 3 tokens, 2 classes, positive widths, and heads and between for each block")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.places = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.ModuleList(Block(width, n, head_width, f, dropout) for n, f in zip(heads, between, strict=True))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.1)[0] = 0
            self.places.normal_(std=0.02)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Logits (B, K)."""
        tokens_BL = tokens_BL[:, : self.fields["length"]]
        if not torch.compiler.is_exporting():
            tokens_BL = tokens_BL[:, : max(1, int((tokens_BL != 0).any(0).sum()))]
        present_BL = tokens_BL != 0
        token_BL = torch.where(tokens_BL < self.fields["tokens"], tokens_BL, 1)
        x_BLD = self.dropout(self.embedding(token_BL) + self.places[: tokens_BL.shape[1]])
        mask_B11L = torch.where(present_BL, 0.0, MASKED_SCORE)[:, None, None]
        for block in self.blocks:
            x_BLD = block(x_BLD, mask_B11L)
        present_BL1 = present_BL.unsqueeze(2)
        mean_BD = (self.norm(x_BLD) * present_BL1).sum(1) / present_BL1.sum(1).clamp(min=1)
        logits_BK: Tensor = self.head(self.dropout(mean_BD))
        return logits_BK

    def groups(self) -> dict[str, ChannelGroup]:
        """The width of the residual stream, and the feed-forward width of each block."""
        blocks = range(len(self.blocks))
        producers = [("embedding.weight", 1), ("places", 1)]
        producers += [
            (f"blocks.{i}.{name}", 0) for i in blocks for name in ("gather.weight", "gather.bias", "narrow.weight", "narrow.bias")
        ]
        norms = [f"blocks.{i}.{name}" for i in blocks for name in ("norm1", "norm2")] + ["norm"]
        consumers = [(f"{name}.{part}", 0, 1) for name in norms for part in ("weight", "bias")]
        consumers += [(f"blocks.{i}.{name}.weight", 1, 1) for i in blocks for name in ("ask", "offer", "tell", "widen")]
        consumers.append(("head.weight", 1, 1))
        width = {"width": ChannelGroup(self.fields["width"], tuple(producers), tuple(consumers), resize_field("width"))}
        return width | {f"between.{i}": _between(i, self.fields["between"][i]) for i in blocks}


def _between(block: int, size: int) -> ChannelGroup:
    producers = ((f"blocks.{block}.widen.weight", 0), (f"blocks.{block}.widen.bias", 0))
    return ChannelGroup(size, producers, ((f"blocks.{block}.narrow.weight", 1, 1),), resize_field("between", block))
