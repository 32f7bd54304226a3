"""The features of a word, as text: its form, its first and last letters, its shape, and its place in the sentence.

A vocabulary of features names the set that it was fitted with; one without a name is of an earlier version.
"""

from __future__ import annotations

import re
from collections.abc import Callable

SHAPE_CLASSES = ((re.compile(r"[A-Z]+"), "X"), (re.compile(r"[^\W\d_A-Zx]+"), "x"), (re.compile(r"\d+"), "d"))
"""Runs of capitals, of other letters and of digits are one sign each; but the first letter of a capitalised word stands alone."""
PLACE_FEATURES = ("n:-", "n:<", "n:>", "n:<>")
"""Whether a word is inside a sentence, its first, its last, or its only one."""


def shape(word: str) -> str:
    """The shape of a word in at most 12 signs, such as `Xx`, `dd` or `XX-d`."""
    for run, sign in SHAPE_CLASSES:
        word = run.sub(sign, word)
    return word[:12]


def spelling(word: str) -> tuple[str, ...]:
    """Lower-case form, first and last letters, and shape."""
    low = word.lower()
    return f"w:{low}", f"p:{low[:3]}", f"s:{low[-3:]}", f"e:{low[-2:]}", f"x:{shape(word)}"


def cased_spelling(word: str) -> tuple[str, ...]:
    """`spelling`, and the form and the last letters with their capitals."""
    return *spelling(word), f"c:{word}", f"S:{word[-4:]}"


def classic(word: str) -> tuple[str, ...]:
    """The features that are usual for a CRF without a recurrent network: forms, endings, and three yes-or-no features."""
    yes = f"u:{word.isupper()}", f"t:{word.istitle()}", f"d:{word.isdigit()}"
    return f"w:{word.lower()}", f"s:{word[-3:]}", f"e:{word[-2:]}", *yes


SETS: dict[str, Callable[[str], tuple[str, ...]]] = {"": spelling, "cased": cased_spelling, "classic": classic}
"""The sets by name. All but the first also have the place of the word, as the last feature."""


def place_feature(place: int, count: int) -> str:
    """The feature of the word at `place` of a sentence of `count` words."""
    return PLACE_FEATURES[(place == 0) + 2 * (place == count - 1)]


def features_of(words: list[str], name: str) -> list[tuple[str, ...]]:
    """The features of each word of a sentence."""
    features = SETS[name]
    if not name:
        return [features(word) for word in words]
    return [(*features(word), place_feature(place, len(words))) for place, word in enumerate(words)]


def width(name: str) -> int:
    """The number of features of a word."""
    return len(features_of(["word"], name)[0])
