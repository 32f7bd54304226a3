"""Texts as counts of terms: words, word pairs, and character n-grams inside words, those of a fitted vocabulary only.

The terms are those of scikit-learn's `TfidfVectorizer` with the tokenizer `words` and `ngram_range=(1, 2)`, and with
`analyzer="char_wb"` and `ngram_range=(3, 5)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "terms"
CHARACTER_NGRAMS = (3, 5)
"""The shortest and longest character n-gram. The blanks around a word count as characters."""
MAX_TERMS = 4096
"""The most different terms of one text; those that come first are kept."""


def vocabulary(terms: Sequence[str], ngrams: Sequence[str] = ()) -> dict[str, Any]:
    """A vocabulary of words and word pairs, and of character n-grams, which are numbered after them."""
    return {"kind": KIND, "terms": "\n".join(terms), "ngrams": "\n".join(ngrams)}


def encode(texts: Sequence[str], fitted: Mapping[str, Any]) -> NDArray[np.int32]:
    """The number and the count of each different term of N texts, (N, L, 2), padded with a count of 0.

    L is the largest number of different terms in one of the texts, at least 1.
    """
    counter = _counter(fitted["terms"], fitted["ngrams"])
    every = [counter.counts(text) for text in texts]
    length = max([1, *map(len, every)])
    encoded = np.zeros((len(every), min(length, MAX_TERMS), 2), np.int32)
    for place, counts in enumerate(every):
        size = min(len(counts), MAX_TERMS)
        encoded[place, :size, 0] = np.fromiter(counts.keys(), np.int32, len(counts))[:size]
        encoded[place, :size, 1] = np.fromiter(counts.values(), np.int32, len(counts))[:size]
    return encoded


def character_ngrams(word: str) -> list[str]:
    """The character n-grams of a word between blanks; one of all characters if the word is shorter than the n-gram."""
    padded, (shortest, longest) = f" {word} ", CHARACTER_NGRAMS
    sizes = range(shortest, min(longest, len(padded)) + 1)
    return [padded[start : start + size] for size in sizes for start in range(len(padded) - size + 1)]


class _Counter:
    """Counts of terms by number. The n-grams of a word are looked up once."""

    def __init__(self, terms: str, ngrams: str) -> None:
        self.terms = {term: number for number, term in enumerate(terms.split("\n"))} if terms else {}
        first = len(self.terms)
        self.ngrams = {ngram: number for number, ngram in enumerate(ngrams.split("\n"), start=first)} if ngrams else {}
        self.numbers_of_word: dict[str, list[int]] = {}

    def counts(self, text: str) -> dict[int, int]:
        counts: dict[int, int] = {}
        tokens = words(text)
        for term in (*tokens, *(f"{first} {second}" for first, second in pairwise(tokens))):
            number = self.terms.get(term)
            if number is not None:
                counts[number] = counts.get(number, 0) + 1
        if self.ngrams:
            for word in text.lower().split():
                for number in self._ngrams_of(word):
                    counts[number] = counts.get(number, 0) + 1
        return counts

    def _ngrams_of(self, word: str) -> list[int]:
        numbers = self.numbers_of_word.get(word)
        if numbers is None:
            numbers = [self.ngrams[ngram] for ngram in character_ngrams(word) if ngram in self.ngrams]
            if len(self.numbers_of_word) < 200_000:
                self.numbers_of_word[word] = numbers
        return numbers


@lru_cache(maxsize=4)
def _counter(terms: str, ngrams: str) -> _Counter:
    return _Counter(terms, ngrams)
