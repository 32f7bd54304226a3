"""Mean and standard deviation of the pixels of encoded images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks.use_cases.vision import images

if TYPE_CHECKING:
    import pandas as pd

    from tasks.core.use_case import Array

MOMENT_ROWS, MOMENT_BLOCK = 5000, 250
"""How many evenly spaced train rows give mean and standard deviation, and how many are decoded at once."""


def moments(encoded: pd.Series, side: int, channels: int) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel, (C,), on the scale 0..1; sums of whole numbers make them exact."""
    count, sums, squares = 0, np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for start in range(0, len(encoded), MOMENT_BLOCK):
        pixels_NCHW = images.decode_batch(encoded.iloc[start : start + MOMENT_BLOCK], side, channels)
        levels = np.stack([np.bincount(pixels_NCHW[:, channel].ravel(), minlength=256) for channel in range(channels)])
        count += int(levels[0].sum())
        sums += levels @ np.arange(256)
        squares += levels @ np.arange(256) ** 2
    mean = sums / count
    return mean / 255, np.sqrt(np.maximum(squares / count - mean**2, 0)) / 255
