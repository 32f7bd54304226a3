"""Weights that a bag of tokens starts from: two linear classifiers of exactly the features that the bag computes, averaged.

One is a linear support vector machine. The other is one on features scaled by the log ratio of each token's counts in a
class and outside it (NB-SVM; S. Wang, C. Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification",
ACL 2012), which is better where rows are few. Both are linear in the same features, so that their mean is one model.

Legend: N rows, L tokens, V vocabulary, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tasks.data import sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[np.float64]

PENALTY = 0.5
"""The cost C of both classifiers."""
NORM_EPSILON = 1e-3
"""Added to the squared norm of a row's weights, as the bag does."""
SMOOTHING = 1.0
"""Added to the count of each token."""
SOFTMAX_SCALE = 3.0
"""Scale of the softmax over margins: a support vector machine has no probabilities."""
MAX_VALUES, MAX_VALUES_OF_CLASSES = 20_000_000, 300_000_000
"""The most features of all rows that are fitted, about 1 GiB of memory, and the most of them times classes, a minute or two."""
ROUNDS = 1000
"""The most passes over the rows."""


class LinearStart(NamedTuple):
    """Weights (K, V) and biases (K,) of logits."""

    weights_KV: Floats
    bias_K: Floats


def fit(tokens_NL: Any, classes_N: Any, weight_V: Any, classes: int) -> LinearStart:
    """Fit both classifiers to rows of token ids, 0 as padding; `weight_V` are the bag's first weights of tokens.

    Of many rows a sample is taken, evenly spaced, with at least one row of each class.
    """
    values = max(1, int(np.count_nonzero(tokens_NL)))
    kept = len(tokens_NL) * min(MAX_VALUES, MAX_VALUES_OF_CLASSES // classes) // values
    (sample,) = sampling.evenly_spaced_rows([len(tokens_NL)], max(1, min(len(tokens_NL), kept)))
    _, first = np.unique(classes_N, return_index=True)
    rows = np.union1d(np.asarray(sample, np.int64), first)
    features, targets = bag_features(np.asarray(tokens_NL[rows]), weight_V), np.asarray(classes_N[rows])
    present = (features > 0).astype(np.float64)
    counts_KV = np.stack([np.asarray(present[targets == one].sum(0)).ravel() for one in range(classes)])
    starts = [
        _one_class(features, targets == one, counts_KV[one], counts_KV.sum(0)) for one in range(1 if classes == 2 else classes)
    ]
    weights, bias = np.stack([start[0] for start in starts]), np.array([start[1] for start in starts])
    if classes == 2:  # one classifier tells both
        weights, bias = np.concatenate([weights, -weights]), np.append(bias, -bias)
    return LinearStart(SOFTMAX_SCALE * weights, SOFTMAX_SCALE * bias)


def bag_features(tokens_NL: Any, weight_V: Any) -> csr_matrix:
    """The features (N, V) whose linear functions a bag computes: each token's weight, as often as it occurs, at unit length."""
    from scipy.sparse import csr_matrix

    rows, places = np.nonzero(tokens_NL)
    tokens = tokens_NL[rows, places]
    values = np.asarray(weight_V, np.float64)[tokens]
    norms = np.sqrt(np.bincount(rows, values**2, minlength=len(tokens_NL)) + NORM_EPSILON)
    return csr_matrix((values / norms[rows], (rows, tokens)), shape=(len(tokens_NL), len(weight_V)))


def _one_class(features: csr_matrix, inside: Any, counts_V: Floats, all_counts_V: Floats) -> tuple[Floats, float]:
    """The mean of both classifiers that tell one class from the others: weights (V,) and bias."""
    from sklearn.svm import LinearSVC

    within, outside = counts_V + SMOOTHING, all_counts_V - counts_V + SMOOTHING
    ratio_V = np.log(within / within.sum()) - np.log(outside / outside.sum())
    plain = LinearSVC(C=PENALTY, random_state=0, max_iter=ROUNDS).fit(features, inside)
    scaled = LinearSVC(C=PENALTY, random_state=0, max_iter=ROUNDS).fit(features.multiply(ratio_V).tocsr(), inside)
    weights: Floats = (plain.coef_[0] + ratio_V * scaled.coef_[0]) / 2
    return weights, float(plain.intercept_[0] + scaled.intercept_[0]) / 2
