"""A convolutional network that is small and fast: a wide stem with a stride, then convolutions on small feature maps.

The first convolutions of a network cost most of its time, because their feature maps are the largest. A stem with a stride of 2
quarters the maps of all that follows; after LeNet-5 (Y. LeCun et al. 1998, "Gradient-based learning applied to document
recognition") with the normalisation, activation and head of `cnn`. It is meant as a student.

Legend: B batch, C channels, H = W side, K classes, D width of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from tasks.core.errors import UserError
from tasks.models.vision._small_image_network import SmallImageNetwork


class StridedCnn(SmallImageNetwork):
    """Images (B, C, H, W), uint8 or float on the scale 0..255, to logits (B, K).

    `widths` holds the channels of the stem, then of the 3x3 convolutions. `pooled` are the positions in `widths` of layers whose
    map is halved by maximum pooling. With `padding` a 3x3 convolution keeps the side of its map, without it the side falls by 2.
    The maximum over what is left of the map goes to the head. `mean` and `std` of each channel are on the scale 0..1.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        side: int = 28,
        classes: int = 10,
        widths: Sequence[int] = (16, 16, 32, 32),
        stem_kernel: int = 5,
        stem_stride: int = 2,
        padding: bool = False,
        pooled: Sequence[int] = (1,),
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.25,),
    ) -> None:
        fields: dict[str, Any] = {
            "channels": channels,
            "side": side,
            "classes": classes,
            "widths": list(widths),
            "stem_kernel": stem_kernel,
            "stem_stride": stem_stride,
            "padding": padding,
            "pooled": list(pooled),
            "mean": list(mean),
            "std": list(std),
        }
        last = _last_side(**fields)
        kernels = [stem_kernel] + [3] * (len(widths) - 1)
        convolutions = [
            nn.Conv2d(
                before,
                after,
                kernel,
                stride=1 if position else stem_stride,
                padding=1 if position and padding else 0,
                bias=False,
            )
            for position, (before, after, kernel) in enumerate(zip([channels, *widths], widths, kernels, strict=False))
        ]
        super().__init__(fields, convolutions, pooled, last)


def _last_side(
    *,
    channels: int,
    side: int,
    classes: int,
    widths: list[int],
    stem_kernel: int,
    stem_stride: int,
    padding: bool,
    pooled: list[int],
    mean: list[float],
    std: list[float],
) -> int:
    """The side of the last map. Raises a `UserError` for fields that make no network."""
    if len(widths) < 2 or min(widths) < 1:
        raise UserError(f"widths={widths}: expected the stem's and those of the convolutions after it, as in [16, 16, 32, 32]")
    if stem_kernel < 1 or stem_stride < 1 or stem_kernel > side:
        raise UserError(f"stem_kernel={stem_kernel}, stem_stride={stem_stride}: expected at least 1, and a kernel within {side}")
    if pooled and (min(pooled) < 0 or max(pooled) >= len(widths)):
        raise UserError(f"pooled={pooled}: expected positions in widths, 0 to {len(widths) - 1}")
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise UserError(f"mean={mean}, std={std}: expected one mean and one positive std for each of {channels} channels")
    if classes < 2:
        raise UserError(f"classes={classes}: a classifier needs at least 2")
    last = side
    for position in range(len(widths)):
        last = (last - stem_kernel) // stem_stride + 1 if position == 0 else last if padding else last - 2
        last = last // 2 if position in pooled else last
        if last < 1:
            raise UserError(
                f"side={side} is too small for {len(widths)} layers: nothing is left of the map after layer {position}; "
                "take fewer widths, padding, or a smaller stem_stride"
            )
    return last
