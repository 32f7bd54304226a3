"""Pictures as arrays: decoded wholly or not at all, compared by eye, and varied in batches on the device.

Legend: B batch, N rows, C channels, H = W side.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
MAX_PIXELS = 50_000_000
"""Larger pictures are refused from their header, before any memory is spent on them."""
LOOK_SIDE = 12
"""Side of the grey thumbnail by which pictures are compared."""

UNIFORMS = 16
"""Random numbers a `Policy` is given per picture."""

Pixels = NDArray[np.uint8]


class Unreadable(ValueError):
    """A picture that cannot be decoded; the message is a reason code, a colon and the details."""


@contextmanager
def strict() -> Iterator[None]:
    """Within it, whatever Pillow only warns of (bombs, damaged metadata) makes a picture unreadable."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def header(data: bytes) -> Image.Image:
    """A picture opened but not yet decoded: size and mode only."""
    if not data:
        raise Unreadable("unreadable: 0 bytes")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise Unreadable(f"unreadable: {_first_line(error, data)}") from error
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"too-large: {image.height}x{image.width}, at most {MAX_PIXELS:,} pixels are decoded")
    return image


def read(data: bytes) -> tuple[Image.Image, list[str]]:
    """The picture upright in mode L or RGB, and the codes of what had to be mended for that."""
    image, fixes = header(data), []
    if getattr(image, "n_frames", 1) > 1:
        raise Unreadable(f"animated: {image.n_frames} frames")  # type: ignore[attr-defined]
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except Exception as error:
        code = "truncated" if "truncated" in str(error) or isinstance(error, EOFError) else "unreadable"
        raise Unreadable(f"{code}: {_first_line(error, data)}") from error
    if upright.size != image.size or image.getexif().get(0x0112, 1) != 1:
        fixes.append("rotated-by-exif")
    if upright.mode not in ("L", "RGB"):
        fixes.append("converted-mode")
        upright = _plain(upright)
    return upright, fixes


def fit_square(image: Image.Image, side: int, mode: str) -> tuple[Image.Image, list[str]]:
    """The picture at (side, side) in `mode`, its proportions kept by black bars, and the codes of what was mended."""
    fixes = []
    if image.mode != mode:
        image, fixes = image.convert(mode), ["converted-mode"]
    if image.size != (side, side):
        image, fixes = ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR), [*fixes, "resized"]
    return image, fixes


def as_png(image: Image.Image | Pixels) -> bytes:
    """Encoded without loss; arrays are (H, W) or (C, H, W)."""
    file = BytesIO()
    if isinstance(image, np.ndarray) and image.ndim == 3:
        image = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, "PNG")
    return file.getvalue()


def decode(images: Iterable[bytes], side: int, channels: int) -> Pixels:
    """N encoded pictures to (N, C, H, W); one of another size or mode is brought to it."""
    mode = "L" if channels == 1 else "RGB"
    arrays = []
    for data in images:
        image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        if image.mode != mode or image.size != (side, side):
            image, _ = fit_square(read(data)[0], side, mode)
        arrays.append(np.asarray(image))
    if not arrays:
        return np.zeros((0, channels, side, side), np.uint8)
    stacked: Pixels = np.stack(arrays)
    return stacked[:, None] if channels == 1 else np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def pixel_key(image: Image.Image) -> str:
    """Equal for equal pixels, however they are encoded."""
    digest = blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


def look(image: Image.Image) -> str:
    """A small grey thumbnail in hexadecimal, made by integer arithmetic, so the same on every machine."""
    return image.convert("L").resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX).tobytes().hex()


def alike(looks: list[str], within: float) -> NDArray[np.int64]:
    """The group of each of N looks, (N,), named by its first member.

    Two looks are alike when their thumbnails differ by at most `within` grey levels (root mean square, brightness aside);
    groups are chains of such pairs. Candidates are found by four shifted grids over coarse block means, so of the pairs
    near the limit a few are missed; none is made up. Whole-number arithmetic, so the same on every machine.
    """
    count, size = len(looks), LOOK_SIDE**2
    thumbs = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(count, size).astype(np.int64)
    blocks = thumbs.reshape(count, 4, LOOK_SIDE // 4, 4, LOOK_SIDE // 4).sum((2, 4)).reshape(count, 16)
    level = 16 * blocks - blocks.sum(1, keepdims=True)  # 144 times the block's mean above the picture's
    group = np.arange(count)
    step = 48 * size
    for shift in range(4):
        cells = np.ascontiguousarray((level + shift * step // 4) // step).astype(np.int8)
        for members in _shared(cells):
            _join(members, thumbs, size * within**2, group)
    return np.array([_root(group, place) for place in range(count)], dtype=np.int64)


def _shared(cells: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """The positions of equal rows, two or more at a time."""
    keys = cells.view([("", cells.dtype)] * cells.shape[1]).ravel()
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    yield from (members for members in np.split(order, borders) if len(members) > 1)


def _join(members: NDArray[np.int64], thumbs: NDArray[np.int64], limit: float, group: NDArray[np.int64]) -> None:
    """Union the groups of all pairs of members whose thumbnails' squared distance, brightness aside, is within the limit."""
    for start in range(0, len(members), 512):
        some = thumbs[members[start : start + 512]].astype(np.float64)  # whole numbers far below 2**53, so exact
        rest = thumbs[members[start:]].astype(np.float64)
        distance = (some**2).sum(1)[:, None] + (rest**2).sum(1)[None] - 2 * some @ rest.T
        distance -= (some.sum(1)[:, None] - rest.sum(1)[None]) ** 2 / thumbs.shape[1]
        for one, other in zip(*np.nonzero(distance <= limit), strict=True):
            if one < other:
                first, second = sorted((_root(group, members[start + one]), _root(group, members[start + other])))
                group[second] = first


def _root(group: NDArray[np.int64], place: int) -> int:
    while group[place] != place:
        group[place] = group[group[place]]
        place = group[place]
    return int(place)


def _plain(image: Image.Image) -> Image.Image:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Varies a batch: shift, rotation and scale in one resampling, then flip, colour and a square cut out.

    Driven by uniform random numbers alone, so the same numbers give the same pictures; 0.5 everywhere moves nothing.
    """

    shift: float = 0.0
    """Share of the side, each way."""
    rotate_degrees: float = 0.0
    scale: float = 0.0
    flip: bool = False
    cutout: float = 0.0
    """Side of the square, as a share of the picture's."""
    colour: float = 0.0
    """Share by which brightness, contrast and saturation may change; pictures in grey are left alone."""

    def __call__(self, inputs_BCHW: Tensor, uniforms_BR: Tensor) -> Tensor:
        """Pictures on the scale 0..255 and `UNIFORMS` numbers per picture to pictures, float.

        What comes in from outside is the edge drawn out where there is colour, black where there is none.
        """
        import torch
        from torch.nn import functional

        x_BCHW, u_BR = inputs_BCHW.float(), uniforms_BR
        v_BR = 2 * u_BR - 1
        coloured, (height, width) = x_BCHW.shape[1] == 3, x_BCHW.shape[-2:]
        if self.shift or self.rotate_degrees or self.scale:
            angle_B = v_BR[:, 0] * math.radians(self.rotate_degrees)
            tall_B, wide_B = 1 + v_BR[:, 1] * self.scale, 1 + v_BR[:, 2] * self.scale
            cos_B, sin_B = angle_B.cos(), angle_B.sin()
            across_B, down_B = v_BR[:, 3] * 2 * self.shift, v_BR[:, 4] * 2 * self.shift
            theta_B6 = torch.stack([cos_B * wide_B, -sin_B * tall_B, across_B, sin_B * wide_B, cos_B * tall_B, down_B], 1)
            grid = functional.affine_grid(theta_B6.view(-1, 2, 3), list(x_BCHW.shape), align_corners=False)
            outside = "border" if coloured else "zeros"
            x_BCHW = functional.grid_sample(x_BCHW, grid, mode="bilinear", padding_mode=outside, align_corners=False)
        if self.flip:
            x_BCHW = torch.where(u_BR[:, 5, None, None, None] < 0.5, x_BCHW.flip(3), x_BCHW)
        if self.colour and coloured:
            x_BCHW = self._recoloured(x_BCHW, v_BR[:, 6:9, None, None])
        if self.cutout:
            rows_H = torch.arange(height, device=x_BCHW.device) + 0.5
            columns_W = torch.arange(width, device=x_BCHW.device) + 0.5
            tall_BH = (rows_H - u_BR[:, 9, None] * height).abs() < self.cutout * height / 2
            wide_BW = (columns_W - u_BR[:, 10, None] * width).abs() < self.cutout * width / 2
            fill = x_BCHW.mean((2, 3), keepdim=True) if coloured else 0.0
            x_BCHW = torch.where((tall_BH[:, :, None] & wide_BW[:, None, :])[:, None], fill, x_BCHW)
        return x_BCHW

    def _recoloured(self, x_BCHW: Tensor, v_B311: Tensor) -> Tensor:
        bright, contrast, saturation = (1 + self.colour * v_B311[:, i : i + 1] for i in range(3))
        mean = x_BCHW.mean((1, 2, 3), keepdim=True)
        x_BCHW = (x_BCHW - mean) * contrast + mean * bright
        grey = x_BCHW.mean(1, keepdim=True)
        return ((x_BCHW - grey) * saturation + grey).clamp(0, 255)
