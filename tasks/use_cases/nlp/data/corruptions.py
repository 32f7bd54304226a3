"""Corruptions of texts: typing errors, case and truncation.

Typing errors as in Y. Belinkov and Y. Bisk 2018, "Synthetic and natural noise both break neural machine translation"
(ICLR, arXiv 1711.02173).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tasks.core.use_case import Corruption
from tasks.text import normalization

if TYPE_CHECKING:
    from numpy.random import Generator
    from pandas import DataFrame

TYPOS = (0.1, 0.3)
"""Share of the words of more than three characters that get one typing error, at severity 1 and 2."""
KEPT = (0.5, 0.25)
"""Share of the words, from the first, that truncation keeps."""


def corruptions() -> tuple[Corruption, ...]:
    """The corruptions of the column `text`, and of `tags`, which has one tag per word or is empty."""
    return (
        *(Corruption("typos", partial(add_typos, share=share), number) for number, share in enumerate(TYPOS, 1)),
        Corruption("upper case", to_upper),
        Corruption("lower case", to_lower),
        *(Corruption("truncation", partial(truncate, share=share), number) for number, share in enumerate(KEPT, 1)),
    )


def add_typos(rows: DataFrame, generator: Generator, share: float) -> DataFrame:
    """The texts with typing errors in this share of their longer words; the number of words stays."""
    seeds = generator.integers(0, 2**63, len(rows)).tolist()
    texts = zip(rows["text"], seeds, strict=True)
    return rows.assign(
        text=[normalization.add_noise(text, "", seed, drop=0.0, swap=0.0, spelling=share, mask=0.0) for text, seed in texts]
    )


def to_upper(rows: DataFrame, generator: Generator) -> DataFrame:
    """The texts in capital letters."""
    return rows.assign(text=[text.upper() for text in rows["text"]])


def to_lower(rows: DataFrame, generator: Generator) -> DataFrame:
    """The texts in small letters."""
    return rows.assign(text=[text.lower() for text in rows["text"]])


def truncate(rows: DataFrame, generator: Generator, share: float) -> DataFrame:
    """The texts, and their tags if there are any, without the words after the first `share` of them; one word stays."""
    tags = rows["tags"] if "tags" in rows else [""] * len(rows)
    cut = [
        (_first(text, share), _first(own, share) if len(own.split()) == len(text.split()) else own)
        for text, own in zip(rows["text"], tags, strict=True)
    ]
    shortened = {"text": [text for text, _ in cut], "tags": [own for _, own in cut]}
    return rows.assign(**{name: shortened[name] for name in ("text", "tags") if name in rows})


def _first(text: str, share: float) -> str:
    words = text.split()
    return " ".join(words[: max(1, round(share * len(words)))])
