"""Pictures out of tables, fit to be shown: decoded by the pipeline's own reader, never larger than a screen needs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tasks.use_cases.vision import images

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from dashboard.readers.artifacts import Artifacts

SHOWN_PIXELS = 112
"""Small pictures are enlarged in whole steps to about this, so that each pixel stays a square."""
MOST_PIXELS = 256
PICTURE_COLUMNS = ("image", "img", "jpeg", "png", "bytes")


def picture(data: object) -> bytes | None:
    """Encoded bytes as a PNG of a size to show; None for what is no picture, a bomb included."""
    return _shown(bytes(data)) if isinstance(data, bytes | bytearray | memoryview) else None


def from_array(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) or (H, W, 3) as a PNG of a size to show."""
    return _encoded(Image.fromarray(pixels))


def heat(pixels: NDArray[np.uint8], weights: NDArray[np.floating[Any]]) -> bytes:
    """A picture (H, W) or (H, W, 3), and beside it the same with what spoke for the answer in orange and against it in blue.

    `weights` (H, W) may have any scale; the largest is fully coloured.
    """
    grey = pixels.astype(np.float64) if pixels.ndim == 2 else pixels.astype(np.float64).mean(2)
    strength = np.abs(weights) / max(float(np.abs(weights).max(initial=0)), 1e-12)
    colour = np.where((weights > 0)[..., None], np.array([240.0, 120, 20]), np.array([60.0, 130, 240]))
    base = np.repeat(grey[..., None] * 0.75, 3, axis=2)
    mixed = base * (1 - 0.7 * strength[..., None]) + colour * 0.7 * strength[..., None]
    plain = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    return _encoded(Image.fromarray(np.concatenate([plain, mixed.clip(0, 255).astype(np.uint8)], axis=1)), 2 * SHOWN_PIXELS)


def column(names: Iterable[str]) -> str:
    """The column that holds pictures, "" if none does."""
    return next((name for name in PICTURE_COLUMNS if name in names), "")


def of(found: Artifacts, keys: Iterable[str]) -> dict[str, bytes]:
    """Encoded pictures of clean rows by their pixel key, for those asked for."""
    wanted = sorted(set(keys))
    if not wanted or "pixels" not in found.columns("clean/rows"):
        return {}
    rows = found.rows("clean/rows", ["pixels", "image"], [("pixels", "in", wanted)])
    if "image" not in rows:
        return {}
    return dict(zip(rows["pixels"], rows["image"], strict=True))


def rows_with_pictures(rows: DataFrame) -> list[tuple[bytes | None, DataFrame]]:
    """Each row with its picture, where it has one."""
    name = column(rows.columns)
    return [(picture(rows.iloc[at][name]) if name else None, rows.iloc[[at]]) for at in range(len(rows))]


@lru_cache(maxsize=2000)
def _shown(data: bytes) -> bytes | None:
    try:
        with images.pillow_warnings_as_errors():
            found, _ = images.decode_image(data)
    except images.UnreadableImage:
        return None
    return _encoded(found)


def _encoded(image: Image.Image, about: int = SHOWN_PIXELS) -> bytes:
    longest = max(image.size)
    if longest > MOST_PIXELS:
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    elif longest < about:
        factor = max(1, round(about / longest))
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
