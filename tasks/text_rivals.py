"""What a text network must beat to be worth its weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.text import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARPNESS = 3.0
"""How distances from a margin are turned into odds; a support vector machine has no probabilities of its own."""


def linear_machine(
    known: Iterable[str], labels: Iterable[str], asked: Iterable[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    """A linear support vector machine on tf-idf of words and pairs of words, (len(asked), K) in the order of `classes`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    known = list(known)
    weigh = TfidfVectorizer(tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    machine = LinearSVC(C=0.5, random_state=0).fit(weigh.fit_transform(known), list(labels))
    distance_NK = machine.decision_function(weigh.transform(list(asked)))
    if distance_NK.ndim == 1:
        distance_NK = np.stack([-distance_NK, distance_NK], axis=1)
    odds_NK = np.exp(SHARPNESS * (distance_NK - distance_NK.max(1, keepdims=True)))
    place = [list(machine.classes_).index(name) for name in classes]
    probabilities_NK: NDArray[np.float64] = (odds_NK / odds_NK.sum(1, keepdims=True))[:, place]
    return probabilities_NK
