"""Find near-duplicates among images by small grey thumbnails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

THUMBNAIL_SIDE = 12
"""Side of the grey thumbnail by which images are compared."""
MAX_SHARE = 0.2
"""The largest squared difference of two near-duplicates, as a share of the variation within the paler of them.

Two pictures that have nothing in common differ by the sum of their variations, a share of two. So pale pictures, such as a small
thing on an even ground, are alike only where the thing is the same."""
BLOCK_ROWS = 128


def thumbnail(image: Image.Image) -> str:
    """A small grey thumbnail in hexadecimal. Integer arithmetic makes it the same on every machine."""
    return image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes().hex()


def near_duplicate_groups(thumbnails: list[str], max_difference: float) -> NDArray[np.int64]:
    """The group of each of N thumbnails, (N,): the position of the group's first member.

    Two thumbnails are near-duplicates when they differ by at most `max_difference` grey levels (root mean square, without the
    difference of brightness), and by at most `MAX_SHARE` of what they vary themselves. Groups are the connected components of
    such pairs. Candidates share a cell in one of four shifted
    grids over coarse block means, so a few pairs near the limit are missed, and no pair is wrong. Integer arithmetic makes the
    result the same on every machine.
    """
    size = THUMBNAIL_SIDE**2
    looks, first, inverse = np.unique(np.array(thumbnails), return_index=True, return_inverse=True)
    pixels = np.frombuffer(bytes.fromhex("".join(looks.tolist())), np.uint8).reshape(len(looks), size)
    blocks = pixels.reshape(-1, 4, THUMBNAIL_SIDE // 4, 4, THUMBNAIL_SIDE // 4).sum((2, 4), dtype=np.int32).reshape(-1, 16)
    level = 16 * blocks - blocks.sum(1, keepdims=True)  # 144 times the difference of the block's mean from the image's
    group = np.arange(len(looks))
    step = 48 * size
    for shift in range(4):
        cells = np.ascontiguousarray((level + shift * step // 4) // step).astype(np.int8)
        for members in _equal_rows(cells):
            _merge_close_pairs(members, pixels, size * max_difference**2, group)
    roots = _roots(group, np.arange(len(looks)))
    earliest = np.full(len(looks), len(thumbnails))
    np.minimum.at(earliest, roots, first)
    groups: NDArray[np.int64] = earliest[roots][inverse].astype(np.int64)
    return groups


def _equal_rows(cells: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """Yields the positions of each set of two or more equal rows."""
    keys = cells.view([("", cells.dtype)] * cells.shape[1]).ravel()
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    yield from (members for members in np.split(order, borders) if len(members) > 1)


def _merge_close_pairs(members: NDArray[np.int64], pixels: Pixels, limit: float, group: NDArray[np.int64]) -> None:
    """Merge the groups (union-find) of all pairs of members whose squared distance, without brightness, is within the limits."""
    values = pixels[members].astype(np.float64)  # whole numbers far below 2**53, so exact
    sums, squares = values.sum(1), (values**2).sum(1)
    variation = squares - sums**2 / pixels.shape[1]
    for start in range(0, len(members), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        distance = squares[block, None] + squares[None, start:] - 2 * values[block] @ values[start:].T
        distance -= (sums[block, None] - sums[None, start:]) ** 2 / pixels.shape[1]
        close = distance <= np.minimum(limit, MAX_SHARE * np.minimum(variation[block, None], variation[None, start:]))
        for row in np.flatnonzero(close.sum(1) > 1):
            others = np.flatnonzero(close[row])
            roots = np.unique(_roots(group, members[start + np.append(others, row)]))
            group[roots] = roots[0]


def _roots(group: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The roots of these positions in a forest of parents."""
    roots = group[positions]
    while (roots != group[roots]).any():
        roots = group[roots]
    group[positions] = roots
    return roots
