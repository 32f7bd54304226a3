"""A sample of rows, evenly spaced over all files of a source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def evenly_spaced_rows(counts: Sequence[int], limit: int) -> list[NDArray[np.int64]]:
    """The positions to keep in each file for at most `limit` rows (0: all), evenly spaced over the files taken together."""
    total = sum(counts)
    chosen = np.arange(total) if not limit or limit >= total else np.arange(limit) * total // limit
    borders = np.cumsum([0, *counts])
    return [chosen[(chosen >= low) & (chosen < high)] - low for low, high in pairwise(borders)]
