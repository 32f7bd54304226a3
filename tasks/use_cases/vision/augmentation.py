"""Augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAugmentation:
    """Varies a batch: shift, rotation, scale and shear in one resampling, then flip, colour and a square cut out.

    Driven by uniform random numbers alone, so the same numbers give the same pictures. What comes in from outside is the
    edge drawn out where there is colour, black where there is none.
    """

    shift: float = 0.0
    """Share of the side, each way; by whole pixels when nothing else moves, which is faster and blurs nothing."""
    rotate_degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    flip: bool = False
    cutout: float = 0.0
    """Side of the square, as a share of the picture's."""
    colour: float = 0.0
    """Share by which brightness, contrast and saturation may change; pictures in grey are left alone."""

    def __call__(self, inputs_BCHW: Tensor, uniforms_BR: Tensor) -> Tensor:
        """Pictures on the scale 0..255 and `UNIFORMS` numbers per picture to pictures, float unless they came as uint8
        and nothing but whole pixels moved."""
        x_BCHW = inputs_BCHW
        if self.rotate_degrees or self.scale or self.shear:
            x_BCHW = self._resampled(x_BCHW.float(), 2 * uniforms_BR[:, :6] - 1)
        elif self.shift:
            x_BCHW = self._shifted(x_BCHW, uniforms_BR[:, 4:6])
        if self.flip:
            x_BCHW = x_BCHW.where(uniforms_BR[:, 6, None, None, None] >= 0.5, x_BCHW.flip(3))
        if self.colour and x_BCHW.shape[1] == 3:
            x_BCHW = self._recoloured(x_BCHW.float(), 2 * uniforms_BR[:, 7:10, None, None] - 1)
        if self.cutout:
            x_BCHW = self._cut(x_BCHW, uniforms_BR[:, 10:12])
        return x_BCHW

    def _resampled(self, x_BCHW: Tensor, v_B6: Tensor) -> Tensor:
        import torch
        from torch.nn import functional

        angle_B, shear_B = v_B6[:, 0] * math.radians(self.rotate_degrees), v_B6[:, 3] * self.shear
        wide_B, tall_B = 1 + v_B6[:, 1] * self.scale, 1 + v_B6[:, 2] * self.scale
        across_B, down_B = v_B6[:, 4] * 2 * self.shift, v_B6[:, 5] * 2 * self.shift  # the picture spans -1..1
        cos_B, sin_B = angle_B.cos(), angle_B.sin()
        first_B3 = torch.stack([cos_B * wide_B, (shear_B * cos_B - sin_B) * tall_B, across_B], 1)
        second_B3 = torch.stack([sin_B * wide_B, (shear_B * sin_B + cos_B) * tall_B, down_B], 1)
        grid = functional.affine_grid(torch.stack([first_B3, second_B3], 1), list(x_BCHW.shape), align_corners=False)
        outside = "border" if x_BCHW.shape[1] == 3 else "zeros"
        return functional.grid_sample(x_BCHW, grid, mode="bilinear", padding_mode=outside, align_corners=False)

    def _shifted(self, x_BCHW: Tensor, u_B2: Tensor) -> Tensor:
        import torch

        count, channels, height, width = x_BCHW.shape
        most = round(self.shift * width)
        moves_B2 = (u_B2 * (2 * most + 1)).long().clamp(max=2 * most) - most
        rows_BH = moves_B2[:, :1] + torch.arange(height, device=x_BCHW.device)
        columns_BW = moves_B2[:, 1:] + torch.arange(width, device=x_BCHW.device)
        places_BHW = rows_BH.clamp(0, height - 1)[:, :, None] * width + columns_BW.clamp(0, width - 1)[:, None, :]
        spread_BCN = places_BHW.view(count, 1, -1).expand(-1, channels, -1)
        x_BCHW = x_BCHW.flatten(2).gather(2, spread_BCN).view_as(x_BCHW)
        if channels == 3:
            return x_BCHW
        outside_BHW = ((rows_BH < 0) | (rows_BH >= height))[:, :, None] | ((columns_BW < 0) | (columns_BW >= width))[:, None, :]
        return x_BCHW.masked_fill(outside_BHW[:, None], 0)

    def _recoloured(self, x_BCHW: Tensor, v_B311: Tensor) -> Tensor:
        bright, contrast, saturation = (1 + self.colour * v_B311[:, place : place + 1] for place in range(3))
        mean = x_BCHW.mean((1, 2, 3), keepdim=True)
        x_BCHW = (x_BCHW - mean) * contrast + mean * bright
        grey = x_BCHW.mean(1, keepdim=True)
        return ((x_BCHW - grey) * saturation + grey).clamp(0, 255)

    def _cut(self, x_BCHW: Tensor, u_B2: Tensor) -> Tensor:
        import torch

        height, width = x_BCHW.shape[-2:]
        middles_H = torch.arange(height, device=x_BCHW.device) + 0.5
        middles_W = torch.arange(width, device=x_BCHW.device) + 0.5
        tall_BH = (middles_H - u_B2[:, :1] * height).abs() < self.cutout * height / 2
        wide_BW = (middles_W - u_B2[:, 1:] * width).abs() < self.cutout * width / 2
        fill = x_BCHW.float().mean((2, 3), keepdim=True) if x_BCHW.shape[1] == 3 else x_BCHW.new_zeros(1)
        return x_BCHW.where(~(tall_BH[:, :, None] & wide_BW[:, None, :])[:, None], fill.to(x_BCHW.dtype))
