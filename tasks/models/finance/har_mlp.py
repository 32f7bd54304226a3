"""The heterogeneous autoregression (HAR) plus the mean of a few small perceptrons for its nonlinear part.

F. Corsi, Journal of Financial Econometrics 7, 2009: the next variance is a linear mix of the last day's, week's and month's.

Legend: B batch, W days, F channels of a day, P pooled features, H hidden, M members, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.use_cases.finance.window_layers import VolatilityHead, WindowEncoder, plain_json


class HarMlp(nn.Module):
    """Price windows (B, W, F) to the next day's log variance and its 5 % and 1 % quantiles (B, O), as in `window_layers`.

    In training mode the outputs are those of each member, (B, M, O), so that each has a loss of its own; otherwise their mean.
    """

    def __init__(
        self,
        *,
        window: int = 66,
        fear: bool = False,
        news: bool = False,
        hidden: int = 16,
        members: int = 3,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.fields = plain_json(window=window, fear=fear, news=news, hidden=hidden, members=members, mean=mean, std=std)
        self.stem = WindowEncoder(window, fear=fear, news=news, mean=mean, std=std)
        bound = self.stem.pooled**-0.5
        self.weight = nn.Parameter(torch.empty(hidden, members, self.stem.pooled).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(hidden, members).uniform_(-bound, bound))
        self.head = VolatilityHead(self.stem.pooled, hidden, members)

    def forward(self, inputs_BWF: Tensor) -> Tensor:
        stem = self.stem(inputs_BWF)
        hidden, members = self.bias.shape
        weight, bias = self.weight.transpose(0, 1).flatten(0, 1), self.bias.T.flatten()
        hidden_BMH = torch.tanh(functional.linear(stem.pooled_BP, weight, bias)).view(-1, members, hidden)
        outputs: Tensor = self.head(stem, hidden_BMH)
        return outputs

    def groups(self) -> dict[str, ChannelGroup]:
        """The hidden units, equally many in each member."""

        producers = (("weight", 0),)
        return {
            "hidden": ChannelGroup(
                self.fields["hidden"], producers, (("bias", 0, 1), ("head.found", 1, 1)), resize_field("hidden")
            )
        }
