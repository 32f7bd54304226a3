"""Linear baselines on tf-idf features of texts, fitted by scikit-learn and exported to ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.exported_baseline import ExportedBaseline
from tasks.data import sampling
from tasks.problems.baselines import class_scores, term_models
from tasks.text import term_counts
from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHARACTER_NGRAMS = 200_000
"""Largest number of character n-grams, the most frequent ones."""
SOFTMAX_SCALE = 3.0
"""Scale of the softmax over margins: a support vector machine has no probabilities."""
COMPARED_ROWS = 500
"""The most train rows on which the file is compared with scikit-learn."""


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A linear support vector machine on the tf-idf features of one or two fitted vectorizers."""

    vectorizers: tuple[Any, ...]
    svm: Any

    def scores(self, texts: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
        """The logits (N, K) by scikit-learn: the scaled margins, in the order of `classes`."""
        from scipy.sparse import hstack

        features = hstack([vectorizer.transform(texts) for vectorizer in self.vectorizers]).tocsr()
        margins = np.asarray(self.svm.decision_function(features), np.float64)
        if margins.ndim == 1:  # of two classes the second one's, against that of the first
            margins = np.stack([-margins, margins], axis=1)
        return class_scores.scores_of_all_classes(SOFTMAX_SCALE * margins, self._places(classes), len(classes))

    def export(self, texts: Sequence[str], train_rows: int, classes: Sequence[str]) -> ExportedBaseline:
        """The model as an ONNX file that reads term counts, to be compared with scikit-learn on `texts`."""
        terms = [vectorizer.get_feature_names_out().tolist() for vectorizer in self.vectorizers]
        vocabulary = term_counts.vocabulary(*terms)
        coef, bias = self.svm.coef_, self.svm.intercept_
        if len(coef) == 1:
            coef, bias = np.concatenate([-coef, coef]), np.append(-bias, bias)
        weights, biases = class_scores.weights_of_all_classes(
            SOFTMAX_SCALE * coef, SOFTMAX_SCALE * bias, self._places(classes), len(classes)
        )
        idf = np.concatenate([vectorizer.idf_ for vectorizer in self.vectorizers])
        return ExportedBaseline(
            model=term_models.to_onnx(idf, len(terms[0]), weights, biases),
            state={"classes": list(classes), "vocabulary": vocabulary},
            parameters=int(idf.size + weights.size + biases.size),
            train_rows=train_rows,
            inputs=term_counts.encode(texts, vocabulary),
            expected=self.scores(texts, classes),
        )

    def _places(self, classes: Sequence[str]) -> list[int]:
        return [list(classes).index(name) for name in self.svm.classes_]


def fit_linear_models(texts: Sequence[str], labels: Sequence[str]) -> dict[str, LinearModel]:
    """Two models by name: on tf-idf of words and word pairs, and with character n-grams of 3 to 5 letters added."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    by_word = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True, min_df=2
    )
    by_character = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=term_counts.CHARACTER_NGRAMS,
        sublinear_tf=True,
        min_df=3,
        max_features=MAX_CHARACTER_NGRAMS,
    )
    of_words, of_characters = by_word.fit_transform(texts), by_character.fit_transform(texts)

    def svm(features: Any) -> Any:
        return LinearSVC(C=0.5, random_state=0).fit(features, labels)

    return {
        "tf-idf + linear": LinearModel((by_word,), svm(of_words)),
        "tf-idf with letters + linear": LinearModel((by_word, by_character), svm(hstack([of_words, of_characters]).tocsr())),
    }


def exported(texts: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> dict[str, ExportedBaseline]:
    """The models of `fit_linear_models` as ONNX files."""
    (sample,) = sampling.evenly_spaced_rows([len(texts)], COMPARED_ROWS)
    compared = [texts[place] for place in sample]
    models = fit_linear_models(texts, labels)
    return {name: model.export(compared, len(texts), classes) for name, model in models.items()}
