"""Pictures as arrays: decoded wholly or not at all, compared by eye, and varied in batches on the device.

Legend: B batch, N rows, C channels, H = W side.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from io import BytesIO
from typing import IO, TYPE_CHECKING
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    pass

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
MAX_PIXELS = 50_000_000
"""Larger pictures are refused from their header, before any memory is spent on them."""
THUMBNAIL_SIDE = 12
"""Side of the grey thumbnail by which pictures are compared."""

UNIFORMS_PER_IMAGE = 16
"""Random numbers a `Policy` is given per picture."""

Pixels = NDArray[np.uint8]


class UnreadableImage(ValueError):
    """A picture that cannot be decoded; the message is a reason code, a colon and the details."""


@contextmanager
def pillow_warnings_as_errors() -> Iterator[None]:
    """Within it, whatever Pillow only warns of (bombs, damaged metadata) makes a picture unreadable."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def open_image(source: bytes | IO[bytes]) -> Image.Image:
    """A picture opened but not yet decoded: size and mode only."""
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
    """The picture upright in mode L or RGB, and the codes of what had to be mended for that."""
    image, fixes = open_image(data), []
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
        fixes.append("rotated-by-exif")
    if upright.mode not in ("L", "RGB"):
        fixes.append("converted-mode")
        upright = _to_grey_or_rgb(upright)
    return upright, fixes


def fit_square(image: Image.Image, side: int, mode: str) -> tuple[Image.Image, list[str]]:
    """The picture at (side, side) in `mode`, its proportions kept by black bars, and the codes of what was mended."""
    fixes = []
    if image.mode != mode:
        image, fixes = image.convert(mode), ["converted-mode"]
    if image.size != (side, side):
        image, fixes = ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR), [*fixes, "resized"]
    return image, fixes


def encode_png(image: Image.Image | Pixels) -> bytes:
    """Encoded without loss; arrays are (H, W) or (C, H, W)."""
    file = BytesIO()
    if isinstance(image, np.ndarray) and image.ndim == 3:
        image = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, "PNG")
    return file.getvalue()


def decode_batch(images: Iterable[bytes], side: int, channels: int) -> Pixels:
    """N encoded pictures to (N, C, H, W); one of another size or mode is brought to it."""
    mode = "L" if channels == 1 else "RGB"
    arrays = []
    for data in images:
        image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        if image.mode != mode or image.size != (side, side):
            image, _ = fit_square(decode_image(data)[0], side, mode)
        arrays.append(np.asarray(image))
    if not arrays:
        return np.zeros((0, channels, side, side), np.uint8)
    stacked: Pixels = np.stack(arrays)
    return stacked[:, None] if channels == 1 else np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def pixel_hash(image: Image.Image) -> str:
    """Equal for equal pixels, however they are encoded."""
    digest = blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


def thumbnail(image: Image.Image) -> str:
    """A small grey thumbnail in hexadecimal, made by integer arithmetic, so the same on every machine."""
    return image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes().hex()


def near_duplicate_groups(looks: list[str], within: float) -> NDArray[np.int64]:
    """The group of each of N looks, (N,), named by its first member.

    Two looks are alike when their thumbnails differ by at most `within` grey levels (root mean square, brightness aside);
    groups are chains of such pairs. Candidates are found by four shifted grids over coarse block means, so of the pairs
    near the limit a few are missed; none is made up. Whole-number arithmetic, so the same on every machine.
    """
    count, size = len(looks), THUMBNAIL_SIDE**2
    thumbs = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(count, size)
    blocks = thumbs.reshape(count, 4, THUMBNAIL_SIDE // 4, 4, THUMBNAIL_SIDE // 4).sum((2, 4), dtype=np.int32).reshape(count, 16)
    level = 16 * blocks - blocks.sum(1, keepdims=True)  # 144 times the block's mean above the picture's
    group = np.arange(count)
    step = 48 * size
    for shift in range(4):
        cells = np.ascontiguousarray((level + shift * step // 4) // step).astype(np.int8)
        for members in _equal_rows(cells):
            _merge_close_pairs(members, thumbs, size * within**2, group)
    return np.array([_find_root(group, place) for place in range(count)], dtype=np.int64)


def _equal_rows(cells: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """The positions of equal rows, two or more at a time."""
    keys = cells.view([("", cells.dtype)] * cells.shape[1]).ravel()
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    yield from (members for members in np.split(order, borders) if len(members) > 1)


def _merge_close_pairs(members: NDArray[np.int64], thumbs: Pixels, limit: float, group: NDArray[np.int64]) -> None:
    """Union the groups of all pairs of members whose thumbnails' squared distance, brightness aside, is within the limit."""
    for start in range(0, len(members), 512):
        some = thumbs[members[start : start + 512]].astype(np.float64)  # whole numbers far below 2**53, so exact
        rest = thumbs[members[start:]].astype(np.float64)
        distance = (some**2).sum(1)[:, None] + (rest**2).sum(1)[None] - 2 * some @ rest.T
        distance -= (some.sum(1)[:, None] - rest.sum(1)[None]) ** 2 / thumbs.shape[1]
        for one, other in zip(*np.nonzero(distance <= limit), strict=True):
            if one < other:
                first, second = sorted((_find_root(group, members[start + one]), _find_root(group, members[start + other])))
                group[second] = first


def _find_root(group: NDArray[np.int64], place: int) -> int:
    while group[place] != place:
        group[place] = group[group[place]]
        place = group[place]
    return int(place)


def _check_png(data: bytes) -> None:
    """Compare each chunk with its CRC: Pillow stops reading when it has all rows, and shows a flipped bit as a picture."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if crc32(data[at + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            cut = end + 4 > len(data)
            raise UnreadableImage(
                f"{'truncated' if cut else 'unreadable'}: the PNG chunk at byte {at:,} does not match its checksum"
            )
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end + 4
    raise UnreadableImage(f"truncated: the PNG ends after {len(data):,} bytes without its last chunk")


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    """Any mode to L or RGB; 16 bits are scaled, transparency is laid on white."""
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
