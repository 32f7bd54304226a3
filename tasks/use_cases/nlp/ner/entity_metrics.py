"""Names in a text, word by word: tags are read and mended, and judged by whole entities.

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
"""The number of a tag behind the end of a text."""
FORBIDDEN_SCORE = -1e4
"""Added to the score of a tag that cannot follow another."""
BEGIN_MARKS = {"B", "S", "U"}
TAG_MARKS = {"B", "I", "E", "S", "L", "U"}

Entity = tuple[str, int, int]
"""Kind, first word, and the word behind the last."""


def entity_spans(tags: Sequence[str]) -> list[Entity]:
    """The entities of a row of tags, whichever of IOB1, IOB2, IOBES and BILOU they are written in."""
    found: list[Entity] = []
    kind, start, ended = "", 0, True
    for place, tag in enumerate([*tags, OUTSIDE]):
        mark, _, name = tag.partition("-")
        goes_on = tag != OUTSIDE and mark not in BEGIN_MARKS and name == kind and not ended
        if kind and not goes_on:
            found.append((kind, start, place))
            kind = ""
        if tag != OUTSIDE and not goes_on:
            kind, start = name, place
        ended = mark in ("E", "L", "S", "U") or tag == OUTSIDE
    return found


def to_iob2(tags: Sequence[str]) -> list[str]:
    """The same entities as IOB2: B- where one begins, I- where it goes on. Raises `UnusableText` for what is no tag."""
    for place, tag in enumerate(tags):
        mark, dash, name = tag.partition("-")
        if tag != OUTSIDE and not (mark in TAG_MARKS and dash and name):
            raise UnusableText(f"impossible-tag: {tag[:40]!r} on word {place + 1}; expected O, B-… or I-…")
    mended = [OUTSIDE] * len(tags)
    for kind, start, stop in entity_spans(tags):
        mended[start:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - start - 1)]
    return mended


def allowed_transitions(tags: Sequence[str]) -> NDArray[np.bool_]:
    """Whether tag k may stand behind tag j, (K, K): I- only behind B- or I- of its kind."""
    return np.array(
        [[not after.startswith("I-") or (before[2:] == after[2:] and before != OUTSIDE) for after in tags] for before in tags]
    )


def viterbi(scores_NLKK: NDArray[Any], lengths_N: NDArray[np.int64], tags: Sequence[str]) -> tuple[NDArray[np.int64], Floats]:
    """The likeliest tags (N, L) among those that may follow each other, and the probability of the whole row, (N,).

    `scores_NLKK[n, l, j, k]` is the score of tag k on word l behind tag j; before the first word stands the first tag, O.
    """
    count, length, size, _ = scores_NLKK.shape
    scores = np.where(allowed_transitions(tags), scores_NLKK.astype(np.float64), FORBIDDEN_SCORE)
    best, every = scores[:, 0, 0], scores[:, 0, 0]
    back = np.zeros((count, length, size), np.int64)
    for place in range(1, length):
        inside = (place < lengths_N)[:, None]
        ways = best[:, :, None] + scores[:, place]
        back[:, place] = np.where(inside, ways.argmax(1), np.arange(size))
        best = np.where(inside, ways.max(1), best)
        every = np.where(inside, _logsumexp(every[:, :, None] + scores[:, place]), every)
    path = np.zeros((count, length), np.int64)
    path[:, -1] = best.argmax(1)
    for place in range(length - 1, 0, -1):
        path[:, place - 1] = back[np.arange(count), place, path[:, place]]
    sure: Floats = np.exp(best.max(1) - _logsumexp(every[:, :, None])[:, 0])
    return path, sure


def _logsumexp(values: Floats) -> Floats:
    """The logarithm of the sum of exponentials over the axis before the last."""
    top = values.max(1, keepdims=True)
    found: Floats = (top + np.log(np.exp(values - top).sum(1, keepdims=True)))[:, 0]
    return found


def entity_counts(predictions: DataFrame) -> list[tuple[Counter[str], Counter[str], Counter[str]]]:
    """Row by row and by kind: entities found rightly, found, and there."""
    rows = []
    for truth, answer in zip(predictions["tags"], predictions["predicted"], strict=True):
        there, found = set(entity_spans(truth.split())), set(entity_spans(answer.split()))
        rows.append(tuple(Counter(kind for kind, _, _ in some) for some in (there & found, found, there)))
    return rows  # type: ignore[return-value]


def metrics(predictions: DataFrame) -> dict[str, float]:
    """F1 of whole entities first (CoNLL 2003: kind and both ends right), precision, recall, share of words tagged rightly."""
    right, found, there = (sum(row[part].total() for row in entity_counts(predictions)) for part in range(3))
    words = [
        one == other
        for truth, answer in zip(predictions["tags"], predictions["predicted"], strict=True)
        for one, other in zip(truth.split(), answer.split(), strict=False)
    ]
    return {
        "entity_f1": 2 * right / max(1, found + there),
        "precision": right / max(1, found),
        "recall": right / max(1, there),
        "word_accuracy": float(np.mean(words)),
    }


def per_row_metric(predictions: DataFrame) -> Floats:
    """What each row adds to the F1 of entities, (N,): its mean is the F1, and its spread that of the F1 (delta method)."""
    rows = entity_counts(predictions)
    right = np.array([row[0].total() for row in rows], np.float64)
    size = np.array([row[1].total() + row[2].total() for row in rows], np.float64)
    f1 = 2 * right.sum() / max(1.0, size.sum())
    found: Floats = f1 + (2 * right - f1 * size) * len(rows) / max(1.0, size.sum())
    return found


def report(predictions: DataFrame) -> dict[str, Any]:
    """Precision, recall and F1 for each kind of entity, with how many there are."""
    totals = [sum((row[part] for row in entity_counts(predictions)), Counter[str]()) for part in range(3)]
    right, found, there = totals
    per_class = [
        {
            "class": kind,
            "precision": right[kind] / max(1, found[kind]),
            "recall": right[kind] / max(1, there[kind]),
            "f1": 2 * right[kind] / max(1, found[kind] + there[kind]),
            "support": there[kind],
        }
        for kind in sorted(set(found) | set(there))
    ]
    return {"per_entity": per_class, "entities": there.total()}


def most_frequent_tag(train: DataFrame, rows: DataFrame) -> DataFrame:
    """The classic rival: each word has the tag it had most often in train rows, unknown words have none."""
    counts: dict[str, Counter[str]] = {}
    for text, tags in zip(train["text"], train["tags"], strict=True):
        for word, tag in zip(text.split(), tags.split(), strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    known = {word: seen.most_common(1)[0][0] for word, seen in counts.items()}
    guesses = [" ".join(to_iob2([known.get(word, OUTSIDE) for word in text.split()])) for text in rows["text"]]
    return rows[["text", "tags"]].assign(predicted=guesses, confidence=1.0)
