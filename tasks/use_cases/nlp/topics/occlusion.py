"""Which words spoke for an answer: each is left out in turn, and what the answer then loses is what the word was worth.

Occlusion (Zeiler and Fergus 2013, arXiv 1311.2901; for words Li et al. 2016, arXiv 1612.08220): needs the shipped file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.metrics import classification
from tasks.text import normalization

if TYPE_CHECKING:
    from tasks.core.use_case import Array

MAX_WORDS = 60
"""Of longer texts the first so many words are weighed."""


def word_importance(texts: Sequence[str], answer: Callable[[list[str]], Array]) -> list[list[dict[str, Any]]]:
    """For each text and word `{start, end, weight}`: its characters, and how much the probability of the likeliest class falls
    without it (negative where the word spoke against it). `answer` gives the logits (N, K) of N texts."""
    return [_text_importance(one, answer) for one in texts]


def _text_importance(whole: str, answer: Callable[[list[str]], Array]) -> list[dict[str, Any]]:
    places = normalization.word_spans(whole)[:MAX_WORDS]
    shares = classification.softmax(answer([whole, *(whole[:start] + " " + whole[end:] for start, end in places)]))
    best = int(shares[0].argmax())
    lost = np.round(shares[0, best] - shares[1:, best], 5)
    return [{"start": start, "end": end, "weight": float(one)} for (start, end), one in zip(places, lost, strict=True)]
