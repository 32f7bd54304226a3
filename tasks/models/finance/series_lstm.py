"""An LSTM over the days of a price window; its last state is added to a linear HAR model.

S. Hochreiter, J. Schmidhuber, Neural Computation 9, 1997. The four gates have separate weights, so that units can be
pruned from all of them; the forward pass concatenates them.

Legend: B batch, W days, F channels of a day, C channels of the window encoder, P pooled features, H hidden units, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.core.compression import ChannelGroup, resize_field
from tasks.use_cases.finance.window_layers import VolatilityHead, WindowEncoder, plain_json

GATES = ("input", "forget", "cell", "output")


class SeriesLstm(nn.Module):
    """Price windows (B, W, F) to the next day's log variance and its 5 % and 1 % quantiles (B, O), as in `window_layers`."""

    def __init__(
        self,
        *,
        window: int = 66,
        fear: bool = False,
        news: bool = False,
        hidden: int = 32,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.fields = plain_json(window=window, fear=fear, news=news, hidden=hidden, mean=mean, std=std)
        self.stem = WindowEncoder(window, fear=fear, news=news, mean=mean, std=std)
        bound = hidden**-0.5
        self.read, self.recall = (
            nn.ParameterDict({gate: nn.Parameter(torch.empty(hidden, width).uniform_(-bound, bound)) for gate in GATES})
            for width in (self.stem.channels, hidden)
        )
        self.bias = nn.ParameterDict({gate: nn.Parameter(torch.full((hidden,), float(gate == "forget"))) for gate in GATES})
        self.head = VolatilityHead(self.stem.pooled, hidden)

    def forward(self, inputs_BWF: Tensor) -> Tensor:
        stem = self.stem(inputs_BWF)
        read, recall, bias = (torch.cat([gates[name] for name in GATES]) for gates in (self.read, self.recall, self.bias))
        start_1BH = stem.days_BWC.new_zeros(1, inputs_BWF.shape[0], recall.shape[1])
        weights = [read, recall, bias, torch.zeros_like(bias)]
        _, last_1BH, _ = torch.lstm(stem.days_BWC, (start_1BH, start_1BH), weights, True, 1, 0.0, False, False, True)
        outputs: Tensor = self.head(stem, last_1BH.transpose(0, 1))
        return outputs

    def groups(self) -> dict[str, ChannelGroup]:
        """The hidden units."""

        producers = tuple((f"{kind}.{gate}", 0) for kind in ("read", "recall") for gate in GATES)
        consumers = [(f"bias.{gate}", 0, 1) for gate in GATES] + [(f"recall.{gate}", 1, 1) for gate in GATES]
        return {
            "hidden": ChannelGroup(self.fields["hidden"], producers, (*consumers, ("head.found", 1, 1)), resize_field("hidden"))
        }
