"""Corruptions of images: noise, blur, contrast, shift and inverted polarity, each at up to two severities.

After D. Hendrycks and T. Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations"
(ICLR, arXiv 1903.12261); noise has the strength of their severities 1 and 3, and shift and polarity are added
because small images are often off their centre, or dark on light.

Legend: N images, C channels, H = W side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from tasks.core.use_case import Corruption
from tasks.use_cases.vision import images

if TYPE_CHECKING:
    from numpy.random import Generator
    from pandas import DataFrame

    from tasks.use_cases.vision.images import Pixels

NOISE = (0.08, 0.18)
"""Standard deviation of the noise, as a share of the range of values; each pair is for the severities 1 and 2."""
BLUR = (0.03, 0.05)
"""Standard deviation of the blur, as a share of the side."""
CONTRAST = (0.7, 0.4)
"""What remains of the differences from an image's mean."""
SHIFT = (0.1, 0.2)
"""Pixels by which an image is moved in each direction, as a share of its side."""

BLOCK_VALUES = 2**22
"""The most values of pixels that are changed at a time."""

PixelChange = Callable[["Pixels", "Generator"], "Pixels"]
"""Images (N, C, H, W) to images of the same shape."""


def corruptions() -> tuple[Corruption, ...]:
    """The corruptions of the column `image`."""
    changes: list[tuple[str, int, PixelChange]] = []
    for severity in (1, 2):
        changes.append(("noise", severity, partial(add_noise, deviation=NOISE[severity - 1])))
        changes.append(("blur", severity, partial(blur, radius=BLUR[severity - 1])))
        changes.append(("contrast", severity, partial(reduce_contrast, factor=CONTRAST[severity - 1])))
        changes.append(("shift", severity, partial(shift, share=SHIFT[severity - 1])))
    changes.append(("inverted polarity", 1, invert))
    ordered = sorted(changes, key=lambda change: [name for name, _, _ in changes].index(change[0]))
    return tuple(Corruption(name, partial(_change_rows, change=change), severity) for name, severity, change in ordered)


def add_noise(pixels_NCHW: Pixels, generator: Generator, deviation: float) -> Pixels:
    """Gaussian noise of each value, whose standard deviation is this share of 255."""
    noise = generator.normal(0, 255 * deviation, pixels_NCHW.shape)
    return _to_pixels(pixels_NCHW + noise)


def blur(pixels_NCHW: Pixels, generator: Generator, radius: float) -> Pixels:
    """Gaussian blur whose standard deviation is this share of the side."""
    kernel = ImageFilter.GaussianBlur(radius * pixels_NCHW.shape[-1])
    blurred = [[np.asarray(Image.fromarray(channel).filter(kernel)) for channel in image] for image in pixels_NCHW]
    return np.array(blurred, np.uint8).reshape(pixels_NCHW.shape)


def reduce_contrast(pixels_NCHW: Pixels, generator: Generator, factor: float) -> Pixels:
    """Each channel's differences from its mean in the image, times this factor."""
    mean = pixels_NCHW.mean((2, 3), keepdims=True)
    return _to_pixels((pixels_NCHW - mean) * factor + mean)


def shift(pixels_NCHW: Pixels, generator: Generator, share: float) -> Pixels:
    """Each image moved by this share of its side to one of four corners; what comes in repeats the border."""
    side = pixels_NCHW.shape[-1]
    distance = max(1, round(share * side))
    places = generator.choice([-distance, distance], (len(pixels_NCHW), 2))[:, :, None] + np.arange(side)
    rows_NH, columns_NW = places.clip(0, side - 1).transpose(1, 0, 2)
    moved = np.take_along_axis(pixels_NCHW, rows_NH[:, None, :, None], 2)
    return np.take_along_axis(moved, columns_NW[:, None, None, :], 3)


def invert(pixels_NCHW: Pixels, generator: Generator) -> Pixels:
    """Dark is light and light is dark: 255 less each value."""
    return 255 - pixels_NCHW


def _to_pixels(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _change_rows(rows: DataFrame, generator: Generator, change: PixelChange) -> DataFrame:
    """The rows with changed images. All have the size and mode of the first one, as clean rows do."""
    if rows.empty:
        return rows
    first, _ = images.decode_image(rows["image"].iloc[0])
    channels, changed = 1 if first.mode == "L" else 3, []
    size = max(1, BLOCK_VALUES // (channels * first.width**2))
    for at in range(0, len(rows), size):
        pixels_NCHW = images.decode_batch(rows["image"].iloc[at : at + size], first.width, channels)
        changed += [images.encode_png(image, compress_level=0) for image in change(pixels_NCHW, generator)]
    return rows.assign(image=changed)
