"""Decode and encode images, and find near-duplicates by thumbnails.

Legend: N rows, C channels, H = W side.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from io import BytesIO
from typing import IO
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
MAX_PIXELS = 50_000_000
"""Larger images are rejected by their header, before they are decoded."""
THUMBNAIL_SIDE = 12
"""Side of the grey thumbnail by which images are compared."""

UNIFORMS_PER_IMAGE = 16
"""Random numbers per image that a `BatchAugmentation` takes."""

Pixels = NDArray[np.uint8]


class UnreadableImage(ValueError):
    """An image that cannot be decoded; the message is a reason code, a colon and the details."""


@contextmanager
def pillow_warnings_as_errors() -> Iterator[None]:
    """A context in which Pillow's warnings (decompression bombs, damaged metadata) make an image unreadable."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def open_image(source: bytes | IO[bytes]) -> Image.Image:
    """Open an image without decoding it: only size and mode are known. Raises `UnreadableImage`."""
    data = source if isinstance(source, bytes) else b""
    if source == b"":
        raise UnreadableImage("unreadable: 0 bytes")
    try:
        image = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"too-large: {_first_line(error, data)}") from error
    except Exception as error:
        raise UnreadableImage(f"unreadable: {_first_line(error, data)}") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(f"too-large: {image.height}x{image.width}, at most {MAX_PIXELS:,} pixels are decoded")
    return image


def decode_image(data: bytes) -> tuple[Image.Image, list[str]]:
    """The image upright in mode L or RGB, and the codes of the repairs. Raises `UnreadableImage`."""
    image, repairs = open_image(data), []
    if image.format == "PNG":
        _check_png(data)
    if getattr(image, "n_frames", 1) > 1:
        raise UnreadableImage(f"animated: {image.n_frames} frames")  # type: ignore[attr-defined]
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except Exception as error:
        code = "truncated" if "truncated" in str(error) or isinstance(error, EOFError) else "unreadable"
        raise UnreadableImage(f"{code}: {_first_line(error, data)}") from error
    if upright.size != image.size or image.getexif().get(0x0112, 1) != 1:
        repairs.append("rotated-by-exif")
    if upright.mode not in ("L", "RGB"):
        repairs.append("converted-mode")
        upright = _to_grey_or_rgb(upright)
    return upright, repairs


def fit_square(image: Image.Image, side: int, mode: str) -> tuple[Image.Image, list[str]]:
    """The image at (side, side) in `mode`, padded with black to keep its proportions, and the codes of the repairs."""
    repairs = []
    if image.mode != mode:
        image, repairs = image.convert(mode), ["converted-mode"]
    if image.size != (side, side):
        image, repairs = ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR), [*repairs, "resized"]
    return image, repairs


def encode_png(image: Image.Image | Pixels, compress_level: int = 6) -> bytes:
    """The image as lossless PNG; arrays are (H, W) or (C, H, W). A lower `compress_level` (0 to 9) is faster."""
    file = BytesIO()
    if isinstance(image, np.ndarray) and image.ndim == 3:
        image = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


def decode_batch(encoded: Iterable[bytes], side: int, channels: int) -> Pixels:
    """N encoded images as an array (N, C, H, W); an image of another size or mode is converted."""
    mode = "L" if channels == 1 else "RGB"
    arrays = []
    for data in encoded:
        image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        if image.mode != mode or image.size != (side, side):
            image, _ = fit_square(decode_image(data)[0], side, mode)
        arrays.append(np.asarray(image))
    if not arrays:
        return np.zeros((0, channels, side, side), np.uint8)
    stacked: Pixels = np.stack(arrays)
    return stacked[:, None] if channels == 1 else np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def pixel_hash(image: Image.Image) -> str:
    """A hash that is equal for equal pixels, whatever the encoding."""
    digest = blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


def thumbnail(image: Image.Image) -> str:
    """A small grey thumbnail in hexadecimal. Integer arithmetic makes it the same on every machine."""
    return image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes().hex()


def near_duplicate_groups(thumbnails: list[str], max_difference: float) -> NDArray[np.int64]:
    """The group of each of N thumbnails, (N,): the position of the group's first member.

    Two thumbnails are near-duplicates when they differ by at most `max_difference` grey levels (root mean square, without the
    difference of brightness). Groups are the connected components of such pairs. Candidates share a cell in one of four shifted
    grids over coarse block means, so a few pairs near the limit are missed, and no pair is wrong. Integer arithmetic makes the
    result the same on every machine.
    """
    count, size = len(thumbnails), THUMBNAIL_SIDE**2
    pixels = np.frombuffer(bytes.fromhex("".join(thumbnails)), np.uint8).reshape(count, size)
    blocks = pixels.reshape(count, 4, THUMBNAIL_SIDE // 4, 4, THUMBNAIL_SIDE // 4).sum((2, 4), dtype=np.int32).reshape(count, 16)
    level = 16 * blocks - blocks.sum(1, keepdims=True)  # 144 times the difference of the block's mean from the image's
    group = np.arange(count)
    step = 48 * size
    for shift in range(4):
        cells = np.ascontiguousarray((level + shift * step // 4) // step).astype(np.int8)
        for members in _equal_rows(cells):
            _merge_close_pairs(members, pixels, size * max_difference**2, group)
    return np.array([_find_root(group, position) for position in range(count)], dtype=np.int64)


def _equal_rows(cells: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """Yields the positions of each set of two or more equal rows."""
    keys = cells.view([("", cells.dtype)] * cells.shape[1]).ravel()
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    yield from (members for members in np.split(order, borders) if len(members) > 1)


def _merge_close_pairs(members: NDArray[np.int64], pixels: Pixels, limit: float, group: NDArray[np.int64]) -> None:
    """Merge the groups (union-find) of all pairs of members whose squared distance, without brightness, is within the limit."""
    for start in range(0, len(members), 512):
        block = pixels[members[start : start + 512]].astype(np.float64)  # whole numbers far below 2**53, so exact
        rest = pixels[members[start:]].astype(np.float64)
        distance = (block**2).sum(1)[:, None] + (rest**2).sum(1)[None] - 2 * block @ rest.T
        distance -= (block.sum(1)[:, None] - rest.sum(1)[None]) ** 2 / pixels.shape[1]
        for row, column in zip(*np.nonzero(distance <= limit), strict=True):
            if row < column:
                first, second = sorted((_find_root(group, members[start + row]), _find_root(group, members[start + column])))
                group[second] = first


def _find_root(group: NDArray[np.int64], position: int) -> int:
    while group[position] != position:
        group[position] = group[group[position]]
        position = group[position]
    return int(position)


def _check_png(data: bytes) -> None:
    """Compare each chunk with its CRC. Pillow stops reading when it has all rows, and accepts a flipped bit."""
    offset = 8
    while offset + 12 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        end = offset + 8 + length
        if crc32(data[offset + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            cut = end + 4 > len(data)
            raise UnreadableImage(
                f"{'truncated' if cut else 'unreadable'}: the PNG chunk at byte {offset:,} does not match its checksum"
            )
        if data[offset + 4 : offset + 8] == b"IEND":
            return
        offset = end + 4
    raise UnreadableImage(f"truncated: the PNG ends after {len(data):,} bytes without its last chunk")


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to L or RGB: 16 bits are scaled to 8, transparent pixels become white."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        scaled = values / 257 if values.max(initial=0) > 255 else values
        return Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8))
    if image.mode == "1":
        return image.convert("L")
    if image.has_transparency_data:
        pasted = image.convert("RGBA")
        pasted = Image.alpha_composite(Image.new("RGBA", pasted.size, "white"), pasted)
        return pasted.convert("L" if image.mode in ("LA", "La") else "RGB")
    return image.convert("L" if image.mode in ("LA", "La") else "RGB")


def _first_line(error: Exception, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture (it begins with {data[:8]!r})"
    return " ".join(str(error).split())[:200] or type(error).__name__
