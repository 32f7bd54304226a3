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
from typing import IO, TYPE_CHECKING
from zlib import crc32

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


def header(source: bytes | IO[bytes]) -> Image.Image:
    """A picture opened but not yet decoded: size and mode only."""
    data = source if isinstance(source, bytes) else b""
    if source == b"":
        raise Unreadable("unreadable: 0 bytes")
    try:
        image = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unreadable(f"too-large: {_first_line(error, data)}") from error
    except Exception as error:
        raise Unreadable(f"unreadable: {_first_line(error, data)}") from error
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"too-large: {image.height}x{image.width}, at most {MAX_PIXELS:,} pixels are decoded")
    return image


def read(data: bytes) -> tuple[Image.Image, list[str]]:
    """The picture upright in mode L or RGB, and the codes of what had to be mended for that."""
    image, fixes = header(data), []
    if image.format == "PNG":
        _check_png(data)
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
    thumbs = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(count, size)
    blocks = thumbs.reshape(count, 4, LOOK_SIDE // 4, 4, LOOK_SIDE // 4).sum((2, 4), dtype=np.int32).reshape(count, 16)
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


def _join(members: NDArray[np.int64], thumbs: Pixels, limit: float, group: NDArray[np.int64]) -> None:
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


def _check_png(data: bytes) -> None:
    """Compare each chunk with its CRC: Pillow stops reading when it has all rows, and shows a flipped bit as a picture."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if crc32(data[at + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            cut = end + 4 > len(data)
            raise Unreadable(f"{'truncated' if cut else 'unreadable'}: the PNG chunk at byte {at:,} does not match its checksum")
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end + 4
    raise Unreadable(f"truncated: the PNG ends after {len(data):,} bytes without its last chunk")


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
