"""What the convolutional networks for small images share: normalised inputs, 3x3 convolutions, a maximum over the last map.

The name of this module begins with an underscore, as it holds no architecture of its own.

Legend: B batch, C channels, H = W side, K classes, D width of the last layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field

HEAD_SCALE = 1 / 9


class SmallImageNetwork(nn.Module):
    """Images (B, C, H, W), uint8 or float on the scale 0..255, to logits (B, K): convolutions in a row, each prunable by itself.

    Args:
        fields: The arguments of the subclass's constructor; of them `channels`, `classes`, `widths`, `mean` and `std` are read.
        convolutions: One for each of `widths`, without bias.
        pooled: The positions of the convolutions whose map is halved by maximum pooling.
        last_side: The side of the last map, over which the maximum is taken.
    """

    def __init__(self, fields: dict[str, Any], convolutions: Iterable[nn.Conv2d], pooled: Iterable[int], last_side: int) -> None:
        super().__init__()
        self.fields = fields
        self.pooled = frozenset(pooled)
        self.convs = nn.ModuleList(convolutions)
        for conv in list(self.convs)[1:]:
            assert isinstance(conv, nn.Conv2d)
            nn.init.dirac_(conv.weight.data[: conv.in_channels])  # output channels beyond the inputs start at random
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=1e-5) for width in fields["widths"])
        for norm in self.norms:
            norm.weight.requires_grad_(False)  # with a gain of 1, pooling before or after it gives the same
        self.pool = nn.MaxPool2d(2)
        self.whole = nn.MaxPool2d(last_side) if last_side > 1 else nn.Identity()
        self.head = nn.Linear(fields["widths"][-1], fields["classes"])
        self.scale: Tensor
        self.shift: Tensor
        scale = torch.tensor([1 / (255 * s) for s in fields["std"]]).view(1, fields["channels"], 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(fields["mean"], fields["std"], strict=True)])
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift.view(1, fields["channels"], 1, 1), persistent=False)

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits (B, K)."""
        x_BCHW = inputs_BCHW.float() * self.scale + self.shift
        exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
        for position, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x_BCHW = conv(x_BCHW)
            if position not in self.pooled:
                x_BCHW = norm(x_BCHW).relu()
            elif exporting:  # the same function, in the order that lets a runtime fold normalisation into the convolution
                x_BCHW = self.pool(norm(x_BCHW).relu())
            else:
                x_BCHW = norm(self.pool(x_BCHW)).relu()
        x_BD = self.whole(x_BCHW).flatten(1)
        return functional.linear(x_BD, self.head.weight * HEAD_SCALE, self.head.bias * HEAD_SCALE)

    def groups(self) -> dict[str, ChannelGroup]:
        """One group per convolution: their widths are independent."""
        widths = self.fields["widths"]
        return {f"convs.{position}": _group(position, widths) for position in range(len(widths))}


def _group(position: int, widths: Sequence[int]) -> ChannelGroup:
    norm_tensors = [(f"norms.{position}.{name}", 0, 1) for name in ("weight", "bias", "running_mean", "running_var")]
    consumer = f"convs.{position + 1}.weight" if position + 1 < len(widths) else "head.weight"
    return ChannelGroup(
        size=widths[position],
        producers=((f"convs.{position}.weight", 0),),
        consumers=(*norm_tensors, (consumer, 1, 1)),
        resize=resize_field("widths", position),
    )
