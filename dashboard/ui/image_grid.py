"""Images of tables as PNG files for display, decoded by the pipeline's own reader and scaled to fit the screen."""

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

TARGET_PIXELS = 112
"""Pixels to which small images are enlarged, by a whole factor so that each pixel stays a square."""
MAX_PIXELS = 256
"""Pixels to which large images are reduced."""
IMAGE_COLUMNS = ("image", "img", "jpeg", "png", "bytes")


def to_png(data: object) -> bytes | None:
    """Encoded image bytes as a PNG for display; None for other data, decompression bombs included."""
    return _display_png(bytes(data)) if isinstance(data, bytes | bytearray | memoryview) else None


def heatmap(pixels: NDArray[np.uint8], weights: NDArray[np.floating[Any]]) -> bytes:
    """An image (H, W) or (H, W, 3) and, beside it, the same image with its attributions in colour, as one PNG.

    Orange pixels support the prediction, blue ones oppose it. `weights` (H, W) may have any scale; the largest gets full colour.
    """
    grey = pixels.astype(np.float64) if pixels.ndim == 2 else pixels.astype(np.float64).mean(2)
    strength = np.abs(weights) / max(float(np.abs(weights).max(initial=0)), 1e-12)
    colour = np.where((weights > 0)[..., None], np.array([240.0, 120, 20]), np.array([60.0, 130, 240]))
    base = np.repeat(grey[..., None] * 0.75, 3, axis=2)
    mixed = base * (1 - 0.7 * strength[..., None]) + colour * 0.7 * strength[..., None]
    plain = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    return _encode_png(Image.fromarray(np.concatenate([plain, mixed.clip(0, 255).astype(np.uint8)], axis=1)), 2 * TARGET_PIXELS)


def pixels_to_png(pixels: NDArray[np.uint8]) -> bytes:
    """An image (C, H, W) of one or three channels as a PNG for display."""
    return _encode_png(Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))))


def image_column(names: Iterable[str]) -> str:
    """The column that holds images; "" if there is none."""
    return next((name for name in IMAGE_COLUMNS if name in names), "")


def images_by_key(artifacts: Artifacts, keys: Iterable[str]) -> dict[str, bytes]:
    """Encoded images of clean rows by their pixel hash, for the requested hashes."""
    requested = sorted(set(keys))
    if not requested or "pixels" not in artifacts.columns("clean/rows"):
        return {}
    rows = artifacts.rows("clean/rows", ["pixels", "image"], [("pixels", "in", requested)])
    if "image" not in rows:
        return {}
    return dict(zip(rows["pixels"], rows["image"], strict=True))


def rows_with_images(rows: DataFrame) -> list[tuple[bytes | None, DataFrame]]:
    """Each row with its image as a PNG; None where it has none."""
    name = image_column(rows.columns)
    return [(to_png(rows.iloc[at][name]) if name else None, rows.iloc[[at]]) for at in range(len(rows))]


@lru_cache(maxsize=2000)
def _display_png(data: bytes) -> bytes | None:
    try:
        image, _ = images.decode_image(data)
    except images.UnreadableImage:
        return None
    return _encode_png(image)


def _encode_png(image: Image.Image, target: int = TARGET_PIXELS) -> bytes:
    longest = max(image.size)
    if longest > MAX_PIXELS:
        image.thumbnail((MAX_PIXELS, MAX_PIXELS))
    elif longest < target:
        factor = max(1, round(target / longest))
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
