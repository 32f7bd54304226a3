"""What a text network must beat to be worth its weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHARACTER_NGRAMS = 200_000
"""Runs of letters that count, the commonest."""
SOFTMAX_SCALE = 3.0
"""How distances from a margin are turned into odds; a support vector machine has no probabilities of its own."""


def linear_svms(
    known: Iterable[str], labels: Iterable[str], asked: Iterable[str], classes: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Linear support vector machines, (len(asked), K) each in the order of `classes`: on tf-idf of words and pairs of words,
    and on these beside runs of 3 to 5 letters."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    known, asked, labels = list(known), list(asked), list(labels)
    by_word = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True, min_df=2
    )
    by_letter = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=3, max_features=MAX_CHARACTER_NGRAMS
    )
    known_words, asked_words = by_word.fit_transform(known), by_word.transform(asked)
    known_letters, asked_letters = by_letter.fit_transform(known), by_letter.transform(asked)
    return {
        "tf-idf + linear": _svm_probabilities(known_words, labels, asked_words, classes),
        "tf-idf with letters + linear": _svm_probabilities(
            hstack([known_words, known_letters]).tocsr(), labels, hstack([asked_words, asked_letters]).tocsr(), classes
        ),
    }


def _svm_probabilities(known: Any, labels: Sequence[str], asked: Any, classes: Sequence[str]) -> NDArray[np.float64]:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=0.5, random_state=0).fit(known, labels)
    distance_NK = machine.decision_function(asked)
    if distance_NK.ndim == 1:
        distance_NK = np.stack([-distance_NK, distance_NK], axis=1)
    odds_NK = np.exp(SOFTMAX_SCALE * (distance_NK - distance_NK.max(1, keepdims=True)))
    place = [list(machine.classes_).index(name) for name in classes]
    probabilities_NK: NDArray[np.float64] = (odds_NK / odds_NK.sum(1, keepdims=True))[:, place]
    return probabilities_NK
