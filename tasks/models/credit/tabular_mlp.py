"""An ensemble of small perceptrons on numeric columns as normal scores and categorical columns as embeddings.

The members train side by side, and the output is their mean, which has less variance than any of them (after
Y. Gorishniy, A. Kotelnikov, A. Babenko 2024, "TabM", arXiv 2410.24210, without its shared weights).

Legend: B rows, F numeric columns, C categorical columns, I inputs of the first layer, H and J hidden units, M members,
K outputs.
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


class TabularMlp(nn.Module):
    """Rows (B, F + C), numbers as they are (NaN where missing) and codes of categories, to outputs (B, K).

    `sizes` (C,) are the numbers of codes of each category; code 0 is a value that was never seen. In training mode there are
    outputs of each member: (B, M) where `outputs` (K) is 1, else (B, M, K).
    """

    def __init__(
        self,
        *,
        numbers: int = 0,
        knots: int = 16,
        sizes: Sequence[int] = (),
        hidden: Sequence[int] = (64, 64),
        members: int = 4,
        dropout: float = 0.1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        if len(hidden) != 2 or min(hidden) < 1:
            raise UserError(f"hidden={list(hidden)}: expected the widths of two hidden layers, as in [64, 64]")
        if not numbers + len(sizes):
            raise UserError("no numeric and no categorical column: a row needs at least one")
        self.fields: dict[str, Any] = {
            "numbers": numbers,
            "knots": knots,
            "sizes": list(sizes),
            "hidden": list(hidden),
            "members": members,
            "dropout": dropout,
            "outputs": outputs,
        }
        self.numbers, (wide, narrow) = numbers, hidden
        self.curves = QuantileTransform(numbers, knots)
        embedded = [min(8, 1 + size // 2) for size in sizes]
        self.categories = nn.ModuleList(nn.Embedding(size, width) for size, width in zip(sizes, embedded, strict=True))
        inputs = 2 * numbers + sum(embedded)
        self.enter = nn.Parameter(_uniform(wide, members, inputs))
        self.enter_bias = nn.Parameter(torch.zeros(wide, members))
        self.deepen = nn.Parameter(_uniform(narrow, members, wide))
        self.deepen_bias = nn.Parameter(torch.zeros(narrow, members))
        each = (members, outputs) if outputs > 1 else (members,)
        self.leave = nn.Parameter(_uniform(*each, narrow))
        self.leave_bias = nn.Parameter(torch.zeros(each))
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs_BX: Tensor) -> Tensor:
        x_BI = self.features(inputs_BX)
        wide, members = self.enter_bias.shape
        flat = functional.linear(x_BI, self.enter.transpose(0, 1).flatten(0, 1), self.enter_bias.T.flatten())
        each = [self.dropout(part.relu()) for part in torch.split(flat, wide, 1)]
        deep = [functional.linear(part_BH, self.deepen[:, m], self.deepen_bias[:, m]) for m, part_BH in enumerate(each)]
        x_BMJ = self.dropout(torch.stack(deep, 1).relu())
        assert x_BMJ.shape[1] == members
        if self.leave.ndim == 3:
            outputs_BMK: Tensor = (x_BMJ.unsqueeze(2) * self.leave).sum(-1) + self.leave_bias
            return outputs_BMK if self.training else outputs_BMK.mean(1)
        outputs_BM: Tensor = (x_BMJ * self.leave).sum(-1) + self.leave_bias
        return outputs_BM if self.training else outputs_BM.mean(1, keepdim=True)

    def features(self, inputs_BX: Tensor) -> Tensor:
        """The inputs of the first layer (B, I): normal scores, indicators of missing numbers, and embeddings of categories."""
        features = list(self.curves(inputs_BX[:, : self.numbers])) if self.numbers else []
        places_BC = inputs_BX[:, self.numbers :].long()
        features += [table(places_BC[:, place]) for place, table in enumerate(self.categories)]
        return torch.cat(features, 1)

    def groups(self) -> dict[str, ChannelGroup]:
        """The units of both hidden layers, equally many in each member."""
        wide, narrow = self.fields["hidden"]
        first = ChannelGroup(wide, (("enter", 0),), (("enter_bias", 0, 1), ("deepen", 2, 1)), resize_field("hidden", 0))
        second = ChannelGroup(
            narrow, (("deepen", 0),), (("deepen_bias", 0, 1), ("leave", self.leave.ndim - 1, 1)), resize_field("hidden", 1)
        )
        return {"enter": first, "deepen": second}

    @classmethod
    def smaller(cls, fields: dict[str, Any], share: float) -> dict[str, Any]:
        """The fields of a student: one member, with `share` of the units, at least 8."""
        return {**fields, "members": 1, "hidden": [max(8, round(width * share)) for width in fields["hidden"]]}


def _uniform(*shape: int) -> Tensor:
    bound = shape[-1] ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)
