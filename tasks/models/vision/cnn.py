"""A convolutional network for small images: narrow, pooled early, with every layer prunable.

After airbench (Keller Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498): a 2x2 stem without padding,
then blocks of two 3x3 convolutions with the pooling before the activation, batch normalisation without a trained gain,
convolutions that start as near to the identity as their widths allow, and a head whose logits start small.

Legend: B batch, C channels, H = W side, K classes, D width of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from tasks.core.errors import UserError
from tasks.models.vision._small_image_network import SmallImageNetwork


class Cnn(SmallImageNetwork):
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
        fields: dict[str, Any] = {
            "channels": channels,
            "side": side,
            "classes": classes,
            "widths": list(widths),
            "mean": list(mean),
            "std": list(std),
        }
        _check(**fields)
        kernels = [2] + [3] * (len(widths) - 1)
        convolutions = [
            nn.Conv2d(before, after, kernel, padding=kernel // 2 if kernel == 3 else 0, bias=False)
            for before, after, kernel in zip([channels, *widths], widths, kernels, strict=False)
        ]
        super().__init__(fields, convolutions, range(1, len(widths), 2), side_after(side, (len(widths) - 1) // 2))


def side_after(side: int, blocks: int) -> int:
    """Side of the feature map after the stem (one less) and `blocks` halvings, rounded down."""
    return (side - 1) >> blocks


def _check(*, channels: int, side: int, classes: int, widths: list[int], mean: list[float], std: list[float]) -> None:
    if len(widths) < 3 or len(widths) % 2 == 0 or min(widths) < 1:
        raise UserError(f"widths={widths}: expected the stem and two positive widths per block, as in [24, 32, 32, 64, 64]")
    if side_after(side, (len(widths) - 1) // 2) < 1:
        raise UserError(f"side={side} is too small for {(len(widths) - 1) // 2} blocks that each halve it; use fewer widths")
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise UserError(f"mean={mean}, std={std}: expected one mean and one positive std for each of {channels} channels")
    if classes < 2:
        raise UserError(f"classes={classes}: a classifier needs at least 2")
