"""Character n-grams for scripts that put no blanks between words, such as Chinese, Japanese and Thai."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "characters"
"""The kind of a vocabulary of character n-grams."""
LENGTHS = (1, 2, 3)
"""Characters of an n-gram. Most Chinese words have one to three."""
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]")
"""Thai, Lao, Burmese, Khmer, Japanese kana, and Chinese characters."""
LETTER = re.compile(r"[^\W\d_]")
SAMPLE_TEXTS = 1000
CODE_BITS = 21
"""Bits of a Unicode character."""


def is_unspaced(texts: Sequence[str]) -> bool:
    """Whether most letters of these texts, or of an evenly spaced sample, are of scripts without blanks between words."""
    unspaced = letters = 0
    for text in texts[:: max(1, len(texts) // SAMPLE_TEXTS)]:
        count = len(UNSPACED.findall(text))
        unspaced, letters = unspaced + count, letters + len(LETTER.findall(UNSPACED.sub("", text))) + count
    return 2 * unspaced > letters


def codes(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A code of each n-gram of each text, in the order of their first characters, and the row of each.

    Capitals count as small letters, and white space separates n-grams: none contains it.
    """
    every: list[NDArray[np.uint64]] = []
    rows: list[NDArray[np.int64]] = []
    for row, text in enumerate(texts):
        count, padded = len(text.lower()), text.lower() + " " * max(LENGTHS)
        characters = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        blank = np.array([character.isspace() for character in padded], bool)
        grid, valid = np.zeros((count, len(LENGTHS)), np.uint64), np.zeros((count, len(LENGTHS)), bool)
        code, whole = np.zeros(count, np.uint64), np.ones(count, bool)
        for offset in range(max(LENGTHS)):
            code = (code << np.uint64(CODE_BITS)) | characters[offset : offset + count]
            whole = whole & ~blank[offset : offset + count]
            if offset + 1 in LENGTHS:
                place = LENGTHS.index(offset + 1)
                grid[:, place], valid[:, place] = code, whole
        every.append(grid[valid])
        rows.append(np.full(len(every[-1]), row))
    empty = (np.zeros(0, np.uint64), np.zeros(0, np.int64))
    return np.concatenate([empty[0], *every]), np.concatenate([empty[1], *rows])
