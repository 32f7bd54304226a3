"""Named entities: conversion of tags to IOB2, Viterbi decoding, and metrics of whole entities.

Predictions are tables with `tags` and `predicted`: one tag per word, joined by blanks, in the IOB2 form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.text.normalization import UnusableText

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

OUTSIDE = "O"
PADDING_TAG = -1
"""The tag number of padding after the last word."""
FORBIDDEN_SCORE = -1e4
"""The score of a transition that is not allowed."""
BEGIN_MARKS = {"B", "S", "U"}
TAG_MARKS = {"B", "I", "E", "S", "L", "U"}

Entity = tuple[str, int, int]
"""Kind, first word, and the word after the last."""


def entity_spans(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sequence of tags in IOB1, IOB2, IOBES or BILOU."""
    entities: list[Entity] = []
    kind, start, ended = "", 0, True
    for position, tag in enumerate([*tags, OUTSIDE]):
        mark, _, name = tag.partition("-")
        continues = tag != OUTSIDE and mark not in BEGIN_MARKS and name == kind and not ended
        if kind and not continues:
            entities.append((kind, start, position))
            kind = ""
        if tag != OUTSIDE and not continues:
            kind, start = name, position
        ended = mark in ("E", "L", "S", "U") or tag == OUTSIDE
    return entities


def to_iob2(tags: Sequence[str]) -> list[str]:
    """The same entities as IOB2: B- where one begins, I- where it goes on. Raises `UnusableText` for what is no tag."""
    for position, tag in enumerate(tags):
        mark, dash, name = tag.partition("-")
        if tag != OUTSIDE and not (mark in TAG_MARKS and dash and name):
            raise UnusableText(f"impossible-tag: {tag[:40]!r} on word {position + 1}; expected O, B-… or I-…")
    iob2 = [OUTSIDE] * len(tags)
    for kind, start, stop in entity_spans(tags):
        iob2[start:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - start - 1)]
    return iob2


def allowed_transitions(tags: Sequence[str]) -> NDArray[np.bool_]:
    """Whether tag k may follow tag j, (K, K): I- only after B- or I- of its kind."""
    return np.array(
        [[not after.startswith("I-") or (before[2:] == after[2:] and before != OUTSIDE) for after in tags] for before in tags]
    )


def viterbi(scores_NLKK: NDArray[Any], lengths_N: NDArray[np.int64], tags: Sequence[str]) -> tuple[NDArray[np.int64], Floats]:
    """The most probable allowed tags (N, L) by Viterbi decoding, and the probability of the whole sequence, (N,).

    `scores_NLKK[n, l, j, k]` is the score of tag k on word l behind tag j; before the first word stands the first tag, O.
    """
    count, length, size, _ = scores_NLKK.shape
    scores = np.where(allowed_transitions(tags), scores_NLKK.astype(np.float64), FORBIDDEN_SCORE)
    best_scores, total_scores = scores[:, 0, 0], scores[:, 0, 0]
    back = np.zeros((count, length, size), np.int64)
    for position in range(1, length):
        inside = (position < lengths_N)[:, None]
        candidates = best_scores[:, :, None] + scores[:, position]
        back[:, position] = np.where(inside, candidates.argmax(1), np.arange(size))
        best_scores = np.where(inside, candidates.max(1), best_scores)
        total_scores = np.where(inside, _logsumexp(total_scores[:, :, None] + scores[:, position]), total_scores)
    path = np.zeros((count, length), np.int64)
    path[:, -1] = best_scores.argmax(1)
    for position in range(length - 1, 0, -1):
        path[:, position - 1] = back[np.arange(count), position, path[:, position]]
    confidence: Floats = np.exp(best_scores.max(1) - _logsumexp(total_scores[:, :, None])[:, 0])
    return path, confidence


def _logsumexp(values: Floats) -> Floats:
    """The log-sum-exp over the axis before the last."""
    top = values.max(1, keepdims=True)
    result: Floats = (top + np.log(np.exp(values - top).sum(1, keepdims=True)))[:, 0]
    return result


def entity_counts(predictions: DataFrame) -> list[tuple[Counter[str], Counter[str], Counter[str]]]:
    """For each row, by kind: the numbers of correct, predicted and actual entities."""
    rows = []
    for truth, answer in zip(predictions["tags"], predictions["predicted"], strict=True):
        actual, predicted = set(entity_spans(truth.split())), set(entity_spans(answer.split()))
        rows.append(tuple(Counter(kind for kind, _, _ in some) for some in (actual & predicted, predicted, actual)))
    return rows  # type: ignore[return-value]


def metrics(predictions: DataFrame) -> dict[str, float]:
    """F1 of whole entities first (CoNLL 2003: kind and both ends right), precision, recall, word accuracy."""
    correct, predicted, actual = (sum(row[part].total() for row in entity_counts(predictions)) for part in range(3))
    words = [
        one == other
        for truth, answer in zip(predictions["tags"], predictions["predicted"], strict=True)
        for one, other in zip(truth.split(), answer.split(), strict=False)
    ]
    return {
        "entity_f1": 2 * correct / max(1, predicted + actual),
        "precision": correct / max(1, predicted),
        "recall": correct / max(1, actual),
        "word_accuracy": float(np.mean(words)),
    }


def per_row_metric(predictions: DataFrame) -> Floats:
    """Row values (N,) with the entity F1 as mean, and its sampling variance (delta method)."""
    rows = entity_counts(predictions)
    correct = np.array([row[0].total() for row in rows], np.float64)
    size = np.array([row[1].total() + row[2].total() for row in rows], np.float64)
    f1 = 2 * correct.sum() / max(1.0, size.sum())
    values: Floats = f1 + (2 * correct - f1 * size) * len(rows) / max(1.0, size.sum())
    return values


def report(predictions: DataFrame) -> dict[str, Any]:
    """Precision, recall, F1 and support for each kind of entity."""
    totals = [sum((row[part] for row in entity_counts(predictions)), Counter[str]()) for part in range(3)]
    correct, predicted, actual = totals
    per_class = [
        {
            "class": kind,
            "precision": correct[kind] / max(1, predicted[kind]),
            "recall": correct[kind] / max(1, actual[kind]),
            "f1": 2 * correct[kind] / max(1, predicted[kind] + actual[kind]),
            "support": actual[kind],
        }
        for kind in sorted(set(predicted) | set(actual))
    ]
    return {"per_entity": per_class, "entities": actual.total()}


def most_frequent_tag(train: DataFrame, rows: DataFrame) -> DataFrame:
    """Baseline: each word gets its most frequent tag in the train rows; unknown words get none."""
    counts: dict[str, Counter[str]] = {}
    for text, tags in zip(train["text"], train["tags"], strict=True):
        for word, tag in zip(text.split(), tags.split(), strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    tag_of = {word: counter.most_common(1)[0][0] for word, counter in counts.items()}
    guesses = [" ".join(to_iob2([tag_of.get(word, OUTSIDE) for word in text.split()])) for text in rows["text"]]
    return rows[["text", "tags"]].assign(predicted=guesses, confidence=1.0)
