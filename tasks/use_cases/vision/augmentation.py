"""Random augmentation of image batches on the device.

Legend: B batch, C channels, H height, W width, R random numbers per image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAugmentation:
    """Augments a batch: shift, rotation, scale and shear in one resampling, then flip, colour jitter and cutout.

    The uniform random numbers alone decide, so the same numbers give the same images. Pixels from outside the image repeat its
    border in colour images, and are black in grey ones.
    """

    shift: float = 0.0
    """Share of the side, each way. Without rotation, scale and shear it is by whole pixels: faster, and without blur."""
    rotate_degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    flip: bool = False
    cutout: float = 0.0
    """Side of the square that is cut out, as a share of the image's side."""
    colour: float = 0.0
    """Share by which brightness, contrast and saturation may change; grey images are unchanged."""

    def __call__(self, inputs_BCHW: Tensor, uniforms_BR: Tensor) -> Tensor:
        """The augmented images, on the scale 0..255; uint8 inputs stay uint8 where pixels only move.

        `uniforms_BR` holds `images.UNIFORMS_PER_IMAGE` numbers per image, in 0..1.
        """
        x_BCHW = inputs_BCHW
        if self.rotate_degrees or self.scale or self.shear:
            x_BCHW = self._resample(x_BCHW.float(), 2 * uniforms_BR[:, :6] - 1)
        elif self.shift:
            x_BCHW = self._shift_pixels(x_BCHW, uniforms_BR[:, 4:6])
        if self.flip:
            x_BCHW = x_BCHW.where(uniforms_BR[:, 6, None, None, None] >= 0.5, x_BCHW.flip(3))
        if self.colour and x_BCHW.shape[1] == 3:
            x_BCHW = self._jitter_colour(x_BCHW.float(), 2 * uniforms_BR[:, 7:10, None, None] - 1)
        if self.cutout:
            x_BCHW = self._cut_out(x_BCHW, uniforms_BR[:, 10:12])
        return x_BCHW

    def _resample(self, x_BCHW: Tensor, v_B6: Tensor) -> Tensor:
        import torch
        from torch.nn import functional

        angle_B, shear_B = v_B6[:, 0] * math.radians(self.rotate_degrees), v_B6[:, 3] * self.shear
        width_B, height_B = 1 + v_B6[:, 1] * self.scale, 1 + v_B6[:, 2] * self.scale
        dx_B, dy_B = v_B6[:, 4] * 2 * self.shift, v_B6[:, 5] * 2 * self.shift  # the image spans -1..1
        cos_B, sin_B = angle_B.cos(), angle_B.sin()
        first_B3 = torch.stack([cos_B * width_B, (shear_B * cos_B - sin_B) * height_B, dx_B], 1)
        second_B3 = torch.stack([sin_B * width_B, (shear_B * sin_B + cos_B) * height_B, dy_B], 1)
        grid = functional.affine_grid(torch.stack([first_B3, second_B3], 1), list(x_BCHW.shape), align_corners=False)
        padding = "border" if x_BCHW.shape[1] == 3 else "zeros"
        return functional.grid_sample(x_BCHW, grid, mode="bilinear", padding_mode=padding, align_corners=False)

    def _shift_pixels(self, x_BCHW: Tensor, u_B2: Tensor) -> Tensor:
        import torch

        count, channels, height, width = x_BCHW.shape
        max_shift = round(self.shift * width)
        shifts_B2 = (u_B2 * (2 * max_shift + 1)).long().clamp(max=2 * max_shift) - max_shift
        rows_BH = shifts_B2[:, :1] + torch.arange(height, device=x_BCHW.device)
        columns_BW = shifts_B2[:, 1:] + torch.arange(width, device=x_BCHW.device)
        positions_BHW = rows_BH.clamp(0, height - 1)[:, :, None] * width + columns_BW.clamp(0, width - 1)[:, None, :]
        indices_BCN = positions_BHW.view(count, 1, -1).expand(-1, channels, -1)
        x_BCHW = x_BCHW.flatten(2).gather(2, indices_BCN).view_as(x_BCHW)
        if channels == 3:
            return x_BCHW
        outside_BHW = ((rows_BH < 0) | (rows_BH >= height))[:, :, None] | ((columns_BW < 0) | (columns_BW >= width))[:, None, :]
        return x_BCHW.masked_fill(outside_BHW[:, None], 0)

    def _jitter_colour(self, x_BCHW: Tensor, v_B311: Tensor) -> Tensor:
        brightness, contrast, saturation = (1 + self.colour * v_B311[:, index : index + 1] for index in range(3))
        mean = x_BCHW.mean((1, 2, 3), keepdim=True)
        x_BCHW = (x_BCHW - mean) * contrast + mean * brightness
        grey = x_BCHW.mean(1, keepdim=True)
        return ((x_BCHW - grey) * saturation + grey).clamp(0, 255)

    def _cut_out(self, x_BCHW: Tensor, u_B2: Tensor) -> Tensor:
        import torch

        height, width = x_BCHW.shape[-2:]
        centres_H = torch.arange(height, device=x_BCHW.device) + 0.5
        centres_W = torch.arange(width, device=x_BCHW.device) + 0.5
        inside_BH = (centres_H - u_B2[:, :1] * height).abs() < self.cutout * height / 2
        inside_BW = (centres_W - u_B2[:, 1:] * width).abs() < self.cutout * width / 2
        fill = x_BCHW.float().mean((2, 3), keepdim=True) if x_BCHW.shape[1] == 3 else x_BCHW.new_zeros(1)
        return x_BCHW.where(~(inside_BH[:, :, None] & inside_BW[:, None, :])[:, None], fill.to(x_BCHW.dtype))
