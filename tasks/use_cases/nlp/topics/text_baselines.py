"""Linear baselines on tf-idf features of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHARACTER_NGRAMS = 200_000
"""Largest number of character n-grams, the most frequent ones."""
SOFTMAX_SCALE = 3.0
"""Scale of the softmax over margins: a support vector machine has no probabilities."""


def linear_svms(
    train: Iterable[str], labels: Iterable[str], texts: Iterable[str], classes: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Probabilities (len(texts), K) of two linear support vector machines, in the order of `classes`: on tf-idf of words and
    word pairs, and with character n-grams of 3 to 5 letters added."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, texts, labels = list(train), list(texts), list(labels)
    by_word = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True, min_df=2
    )
    by_character = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=3, max_features=MAX_CHARACTER_NGRAMS
    )
    train_words, text_words = by_word.fit_transform(train), by_word.transform(texts)
    train_characters, text_characters = by_character.fit_transform(train), by_character.transform(texts)
    return {
        "tf-idf + linear": _svm_probabilities(train_words, labels, text_words, classes),
        "tf-idf with letters + linear": _svm_probabilities(
            hstack([train_words, train_characters]).tocsr(), labels, hstack([text_words, text_characters]).tocsr(), classes
        ),
    }


def _svm_probabilities(train: Any, labels: Sequence[str], texts: Any, classes: Sequence[str]) -> NDArray[np.float64]:
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=0.5, random_state=0).fit(train, labels)
    distance_NK = svm.decision_function(texts)
    if distance_NK.ndim == 1:
        distance_NK = np.stack([-distance_NK, distance_NK], axis=1)
    weights_NK = np.exp(SOFTMAX_SCALE * (distance_NK - distance_NK.max(1, keepdims=True)))
    order = [list(svm.classes_).index(name) for name in classes]
    probabilities_NK: NDArray[np.float64] = (weights_NK / weights_NK.sum(1, keepdims=True))[:, order]
    return probabilities_NK
