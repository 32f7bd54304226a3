"""Sentences on how a source was understood, carried by blocks of rows from a reader to the stage fetch.

The stage prints them, such as "own splits by folder: train is train", and records them in its report as `remarks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

KEY = "remarks"


def attach(blocks: Iterable[DataFrame], remarks: Iterable[str]) -> Iterator[DataFrame]:
    """The blocks, the first of them with these sentences after its own."""
    texts = list(remarks)
    for block in blocks:
        if texts:
            block.attrs[KEY] = [*block.attrs.get(KEY, []), *texts]
            texts = []
        yield block


def take(block: DataFrame) -> list[str]:
    """The sentences that a block carries, removed from it: a file of rows does not store them."""
    return [str(text) for text in block.attrs.pop(KEY, [])]
