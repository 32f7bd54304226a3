"""Decode images, make them square, and encode them.

Legend: N rows, C channels, H = W side.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from io import BytesIO
from typing import IO, Literal, SupportsBytes
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tasks.use_cases.vision import resizing

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
MULTI_PICTURE = "MPO"
"""Pillow's name for the JPEG of a phone with further pictures behind it, such as a depth map. Viewers show the first one."""
SMALL_SIDE, PHOTO_SIDE = 64, 128
"""Pictures of up to `SMALL_SIDE` pixels keep their size; larger ones, photos, get `PHOTO_SIDE` unless `clean.side` is set."""
MAX_PIXELS = 50_000_000
"""Larger images are rejected by their header, before they are decoded."""
SHRINK_FACTOR = 3
"""A JPEG is decoded at a half, a quarter or an eighth only where this many times the side that is asked for remains."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture upright, by its EXIF orientation (Exif 2.32, tag 0x0112)."""
DAMAGED_METADATA = "seen damaged-metadata"
"""The remark on a picture whose pixels are whole, but not what is written about it."""

UNIFORMS_PER_IMAGE = 16
"""Random numbers per image that a `BatchAugmentation` takes."""

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "pad"]


class UnreadableImage(ValueError):
    """An image that cannot be decoded; the message is a reason code, a colon and the details."""


@contextmanager
def _collected_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """A context in which Pillow's warning of a decompression bomb is an error, and other warnings are collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield caught


def open_image(source: bytes | IO[bytes]) -> Image.Image:
    """Open an image without decoding it: only size and mode are known. Raises `UnreadableImage`."""
    with _collected_warnings():
        return _open(source)


def decode_image(data: SupportsBytes, side: int = 0) -> tuple[Image.Image, list[str]]:
    """The image upright in mode L or RGB, and the codes of the repairs and remarks. Raises `UnreadableImage`.

    With a `side` a JPEG that is much larger than it is decoded at a part of its size (see `SHRINK_FACTOR`). It is faster, but
    of other pixels than a reduction of the whole picture: on photos by 2 of 255 levels on average, by 50 at edges of colours.
    """
    with _collected_warnings() as caught:
        data = bytes(data)
        image, repairs = _open(data), []
        if image.format == "PNG":
            _check_png(data)
        if image.format != MULTI_PICTURE and getattr(image, "n_frames", 1) > 1:
            raise UnreadableImage(f"animated: {image.n_frames} frames")  # type: ignore[attr-defined]
        try:
            if side:
                image.draft(image.mode, (SHRINK_FACTOR * side, SHRINK_FACTOR * side))
            image.load()
        except Exception as error:
            code = "truncated" if "truncated" in str(error) or isinstance(error, EOFError) else "unreadable"
            raise UnreadableImage(f"{code}: {_first_line(error, data)}") from error
        orientation, damaged = _orientation(image)
        damaged = damaged or bool(caught)
        if orientation in TURNS:
            image = image.transpose(TURNS[orientation])
            repairs.append("rotated-by-exif")
        if image.mode not in ("L", "RGB"):
            repairs.append("converted-mode")
            image = _to_grey_or_rgb(image)
    return image, [*repairs, *([DAMAGED_METADATA] if damaged else [])]


def fit_square(image: Image.Image, side: int, mode: str, fit: Fit = "pad") -> tuple[Image.Image, list[str]]:
    """The image at (side, side) in `mode`, and the codes of the repairs. Proportions stay as they are.

    `crop` takes the middle of the longer side, `pad` adds black at both ends of the shorter one. The reduction (`resizing`) and
    the whole numbers that decide on sizes and places are those of `pixel_input.with_pixel_input`, which does the same inside a
    model's file.
    """
    repairs = []
    if image.mode != mode:
        image, repairs = image.convert(mode), ["converted-mode"]
    if image.size == (side, side):
        return image, repairs
    width, height = image.size
    short, long = sorted(image.size)
    if fit == "crop":
        left, top = (width - short) // 2, (height - short) // 2
        if short != long:
            image, repairs = image.crop((left, top, left + short, top + short)), [*repairs, "cropped"]
        if short == side:
            return image, repairs
        return _resize(image, side, side), [*repairs, "resized"]
    width, height = (max(1, (2 * length * side + long) // (2 * long)) for length in image.size)
    if image.size != (width, height):
        image = _resize(image, width, height)
    if (width, height) != (side, side):
        padded = Image.new(mode, (side, side))
        padded.paste(image, ((side - width) // 2, (side - height) // 2))
        image = padded
    return image, [*repairs, "resized"]


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """An image of mode L or RGB at (width, height)."""
    pixels = np.asarray(image)
    resized = resizing.resize(pixels.reshape(*pixels.shape[:2], -1), width, height)
    return Image.fromarray(resized if image.mode == "RGB" else resized[..., 0])


def encode_png(image: Image.Image | Pixels, compress_level: int = 6) -> bytes:
    """The image as lossless PNG; arrays are (H, W) or (C, H, W). A lower `compress_level` (0 to 9) is faster."""
    file = BytesIO()
    if isinstance(image, np.ndarray) and image.ndim == 3:
        image = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


def decode_batch(encoded: Collection[SupportsBytes], side: int, channels: int, fit: Fit = "pad") -> Pixels:
    """N encoded images as an array (N, C, H, W); an image of another size or mode is converted."""
    mode = "L" if channels == 1 else "RGB"
    pixels_NCHW = np.empty((len(encoded), channels, side, side), np.uint8)
    for position, content in enumerate(encoded):
        data = bytes(content)
        image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        if image.mode != mode or image.size != (side, side):
            image, _ = fit_square(decode_image(data)[0], side, mode, fit)
        pixels = np.asarray(image)
        pixels_NCHW[position] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    return pixels_NCHW


def pixel_hash(image: Image.Image) -> str:
    """A hash that is equal for equal pixels, whatever the encoding."""
    digest = blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


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


def _open(source: bytes | IO[bytes]) -> Image.Image:
    """As `open_image`, within a context of `_collected_warnings`."""
    if isinstance(source, bytes):
        data = source
    else:
        data = source.read(8)
        source.seek(0)
    if not data:
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


def _orientation(image: Image.Image) -> tuple[int, bool]:
    """The EXIF orientation, 1 if none can be read, and whether the tags are damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1)), False
    except Exception:  # Pillow raises errors of many classes for damaged tags
        return 1, True


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
        return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture (it begins with {data[:8]!r}); save it as one of them"
    return " ".join(str(error).split())[:200] or type(error).__name__
