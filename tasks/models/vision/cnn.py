"""A convolutional network for small images: narrow, pooled early, with every layer prunable.

After airbench (Keller Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498): a 2x2 stem without padding,
then blocks of two 3x3 convolutions with the pooling before the activation, batch normalisation without a trained gain,
convolutions that start as near to the identity as their widths allow, and a head whose logits start small.

Legend: B batch, C channels, H = W side, K classes, D width of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError

HEAD_SCALE = 1 / 9


class Cnn(nn.Module):
    """Images (B, C, H, W), uint8 or float on the scale 0..255, to logits (B, K).

    `widths` holds the channels of the stem, then of the two convolutions of each block: (stem, 1a, 1b, 2a, 2b, ...).
    Each block halves the side. `mean` and `std` of each channel are on the scale 0..1.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        side: int = 28,
        classes: int = 10,
        widths: Sequence[int] = (24, 32, 32, 64, 64, 64, 64),
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.25,),
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {
            "channels": channels,
            "side": side,
            "classes": classes,
            "widths": list(widths),
            "mean": list(mean),
            "std": list(std),
        }
        _check(**self.fields)
        last = side_after(side, (len(widths) - 1) // 2)
        kernels = [2] + [3] * (len(widths) - 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, kernel, padding=kernel // 2 if kernel == 3 else 0, bias=False)
            for before, after, kernel in zip([channels, *widths], widths, kernels, strict=False)
        )
        for conv in list(self.convs)[1:]:
            assert isinstance(conv, nn.Conv2d)
            nn.init.dirac_(conv.weight.data[: conv.in_channels])  # output channels beyond the inputs start at random
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=1e-5) for width in widths)
        for norm in self.norms:
            norm.weight.requires_grad_(False)  # with a gain of 1, pooling before or after it gives the same
        self.pool = nn.MaxPool2d(2)
        self.whole = nn.MaxPool2d(last)
        self.head = nn.Linear(widths[-1], classes)
        self.scale: Tensor
        self.shift: Tensor
        scale = torch.tensor([1 / (255 * s) for s in std]).view(1, channels, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, channels, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits (B, K)."""
        x_BCHW = inputs_BCHW.float() * self.scale + self.shift
        exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
        for position, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x_BCHW = conv(x_BCHW)
            if position % 2 == 0:
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


def side_after(side: int, blocks: int) -> int:
    """Side of the feature map after the stem (one less) and `blocks` halvings, rounded down."""
    return (side - 1) >> blocks


def _group(position: int, widths: Sequence[int]) -> ChannelGroup:
    norm_tensors = [(f"norms.{position}.{name}", 0, 1) for name in ("weight", "bias", "running_mean", "running_var")]
    consumer = f"convs.{position + 1}.weight" if position + 1 < len(widths) else "head.weight"
    return ChannelGroup(
        size=widths[position],
        producers=((f"convs.{position}.weight", 0),),
        consumers=(*norm_tensors, (consumer, 1, 1)),
        resize=resize_field("widths", position),
    )


def _check(*, channels: int, side: int, classes: int, widths: list[int], mean: list[float], std: list[float]) -> None:
    if len(widths) < 3 or len(widths) % 2 == 0 or min(widths) < 1:
        raise UserError(f"widths={widths}: expected the stem and two positive widths per block, as in [24, 32, 32, 64, 64]")
    if side_after(side, (len(widths) - 1) // 2) < 1:
        raise UserError(f"side={side} is too small for {(len(widths) - 1) // 2} blocks that each halve it; use fewer widths")
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise UserError(f"mean={mean}, std={std}: expected one mean and one positive std for each of {channels} channels")
    if classes < 2:
        raise UserError(f"classes={classes}: a classifier needs at least 2")
