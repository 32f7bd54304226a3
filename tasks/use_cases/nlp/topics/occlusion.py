"""Word importance by occlusion: each word is left out in turn; its weight is the drop of the probability.

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
"""Only so many first words of a text get a weight."""


def word_importance(texts: Sequence[str], run: Callable[[list[str]], Array]) -> list[list[dict[str, Any]]]:
    """For each text and word `{start, end, weight}`: its characters, and the drop in probability of the most probable class
    without it (negative if the probability rises). `run` returns the logits (N, K) of N texts."""
    return [_text_importance(text, run) for text in texts]


def _text_importance(text: str, run: Callable[[list[str]], Array]) -> list[dict[str, Any]]:
    spans = normalization.word_spans(text)[:MAX_WORDS]
    probabilities = classification.softmax(run([text, *(text[:start] + " " + text[end:] for start, end in spans)]))
    best = int(probabilities[0].argmax())
    weights = np.round(probabilities[0, best] - probabilities[1:, best], 5)
    return [{"start": start, "end": end, "weight": float(weight)} for (start, end), weight in zip(spans, weights, strict=True)]
