"""A Transformer encoder over the days of a price window; its output for the last day is added to a linear HAR model.

A. Vaswani et al. 2017, arXiv 1706.03762, normalised before each part (R. Xiong et al. 2020, arXiv 2002.04745).

Legend: B batch, W days, F channels of a day, C channels of the window encoder, P pooled features, D width, N heads,
K width of a head, H hidden units, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.use_cases.finance.window_layers import VolatilityHead, WindowEncoder, plain_json


class SeriesTransformer(nn.Module):
    """Price windows (B, W, F) to the next day's log variance and its 5 % and 1 % quantiles (B, O), as in `window_layers`."""

    def __init__(
        self,
        *,
        window: int = 66,
        fear: bool = False,
        news: bool = False,
        width: int = 32,
        heads: int | Sequence[int] = 4,
        hidden: int | Sequence[int] = 64,
        layers: int = 2,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        counts, widths = ([setting] * layers if isinstance(setting, int) else list(setting) for setting in (heads, hidden))
        self.fields = plain_json(window=window, fear=fear, news=news, width=width, heads=counts, hidden=widths, layers=layers)
        self.fields |= plain_json(mean=mean, std=std)
        self.stem = WindowEncoder(window, fear=fear, news=news, mean=mean, std=std)
        self.enter = nn.Linear(self.stem.channels, width)
        self.place = nn.Parameter(torch.randn(window, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, count, wide) for count, wide in zip(counts, widths, strict=True))
        self.norm = nn.LayerNorm(width)
        self.head = VolatilityHead(self.stem.pooled, width)

    def forward(self, inputs_BWF: Tensor) -> Tensor:
        stem = self.stem(inputs_BWF)
        x_BWD = self.enter(stem.days_BWC) + self.place
        for block in self.blocks[:-1]:
            x_BWD = block(x_BWD, x_BWD)
        last_B1D = self.norm(self.blocks[-1](x_BWD[:, -1:], x_BWD))  # only the last day queries in the last block
        outputs: Tensor = self.head(stem, last_B1D)
        return outputs

    def groups(self) -> dict[str, ChannelGroup]:
        """The heads and the hidden units of each block; the width, which all blocks share, is not pruned."""
        fields = self.fields
        heads = {f"blocks.{n}.heads": _heads(n, count) for n, count in enumerate(fields["heads"])}
        return heads | {f"blocks.{n}.hidden": _hidden(n, count) for n, count in enumerate(fields["hidden"])}


class Block(nn.Module):
    """Pre-norm Transformer block: query days (B, Q, D) attend to all days (B, W, D), then a feed-forward network."""

    def __init__(self, width: int, heads: int, hidden: int, head_width: int = 8) -> None:
        super().__init__()
        bound = width**-0.5
        self.ask, self.offer, self.value = (
            nn.Parameter(torch.empty(heads, head_width, width).uniform_(-bound, bound)) for _ in range(3)
        )
        self.merge = nn.Parameter(torch.zeros(width, heads, head_width))
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, query_BQD: Tensor, days_BWD: Tensor) -> Tensor:
        heads, head_width, _ = self.ask.shape
        normed_BWD = self.before(days_BWD)
        q, k, v = (
            functional.linear(x, weight.flatten(0, 1)).view(*x.shape[:2], heads, head_width).transpose(1, 2)  # (B, N, Q or W, K)
            for x, weight in ((self.before(query_BQD), self.ask), (normed_BWD, self.offer), (normed_BWD, self.value))
        )
        gathered_BNQK = torch.softmax(q @ k.transpose(-1, -2) * head_width**-0.5, dim=-1) @ v
        x_BQD = query_BQD + functional.linear(gathered_BNQK.transpose(1, 2).flatten(2), self.merge.flatten(1))
        out: Tensor = x_BQD + self.narrow(self.widen(self.between(x_BQD)).relu())
        return out


def _heads(block: int, count: int) -> ChannelGroup:
    producers = tuple((f"blocks.{block}.{name}", 0) for name in ("ask", "offer", "value"))
    return ChannelGroup(count, producers, ((f"blocks.{block}.merge", 1, 1),), resize_field("heads", block))


def _hidden(block: int, count: int) -> ChannelGroup:
    consumers = ((f"blocks.{block}.widen.bias", 0, 1), (f"blocks.{block}.narrow.weight", 1, 1))
    return ChannelGroup(count, ((f"blocks.{block}.widen.weight", 0),), consumers, resize_field("hidden", block))
