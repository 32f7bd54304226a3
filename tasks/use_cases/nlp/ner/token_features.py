"""Encode words as features, and decode a network's scores to tags.

The features of a word: its lower case form, its first and last letters, and its shape (`Xx`, `dd`, `XX-d`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import UserError
from tasks.text.tokenization import FIRST_ID
from tasks.use_cases.nlp.ner import entity_metrics

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import Array

KEPT_COLUMNS = ("file", "row", "split", "text", "tags")
SHAPE_CLASSES = ((re.compile(r"[A-Z]+"), "X"), (re.compile(r"[^\W\d_A-Zx]+"), "x"), (re.compile(r"\d+"), "d"))
"""Runs of capitals, of other letters and of digits are one sign each; but the first letter of a capitalised word stands alone."""


def word_features(word: str) -> tuple[str, ...]:
    """The features of a word, each with a prefix for its type."""
    low, shape = word.lower(), word
    for run, sign in SHAPE_CLASSES:
        shape = run.sub(sign, shape)
    return f"w:{low}", f"p:{low[:3]}", f"s:{low[-3:]}", f"e:{low[-2:]}", f"x:{shape[:12]}"


def fit_preprocessing(rows: DataFrame, limit: int, min_count: int, longest: int) -> dict[str, Any]:
    """The tags, O first, and the features of the train rows, the most frequent first."""
    texts = [text.split() for text in rows["text"]]
    counts = Counter(feature for words in texts for word in words for feature in word_features(word))
    ranked = sorted((one for one, count in counts.items() if count >= min_count), key=lambda one: (-counts[one], one))[:limit]
    kinds = sorted({kind for tags in rows["tags"] for kind, _, _ in entity_metrics.entity_spans(tags.split())})
    if not kinds:
        raise UserError("no train row names an entity; every tag is O: there is nothing to learn")
    vocabulary = {"kind": "features", "count": len(ranked), "entries": " ".join(ranked)}
    length = min(longest, max(len(words) for words in texts))
    tags = [entity_metrics.OUTSIDE, *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
    return {"task": "names", "tags": tags, "vocabulary": {**vocabulary, "length": length}}


def encode(rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
    """Encode N rows as feature numbers, int32 (N, L, F), 0 as padding, and tag numbers, int64 (N, L), padded with `PADDING_TAG`.

    A tag that no train row has counts as O, since the network has no output for it.
    """
    length = state["vocabulary"]["length"]
    number_of = {tag: position for position, tag in enumerate(state["tags"])}
    targets = np.full((len(rows), length), entity_metrics.PADDING_TAG, np.int64)
    for row, tags in enumerate(rows["tags"]):
        numbers_of_tags = [number_of.get(tag, 0) for tag in tags.split()[:length]]
        targets[row, : len(numbers_of_tags)] = numbers_of_tags
    return encode_texts(rows["text"].to_list(), state), targets


def encode_texts(texts: Sequence[str], state: PreprocessingState) -> Array:
    """The feature numbers of each word, int32 (N, L, F), 0 as padding."""
    vocabulary = state["vocabulary"]
    number = {feature: place for place, feature in enumerate(vocabulary["entries"].split(" "), start=FIRST_ID["features"])}
    numbers = np.zeros((len(texts), vocabulary["length"], len(word_features("word"))), np.int32)
    for row, text in enumerate(texts):
        words = text.split()[: vocabulary["length"]]
        if words:
            numbers[row, : len(words)] = [[number.get(feature, 1) for feature in word_features(word)] for word in words]
    return numbers


def decode(rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
    """The most probable tag sequence of each text as `predicted`, and its probability as `confidence`."""
    lengths = np.array([min(len(text.split()), outputs.shape[1]) for text in rows["text"]], np.int64)
    paths, sure = entity_metrics.viterbi(outputs, lengths, state["tags"])
    named = [
        _tag_string(path[:length], state["tags"], text) for path, length, text in zip(paths, lengths, rows["text"], strict=True)
    ]
    return rows[[name for name in KEPT_COLUMNS if name in rows]].assign(predicted=named, confidence=sure)


def entities(text: str, scores_LKK: Array, state: PreprocessingState) -> list[dict[str, str]]:
    """The entities of one text in order, each with `kind` and `text`, from the network's scores of its words."""
    words, tags = text.split(), list(state["tags"])
    length = min(len(words), len(scores_LKK))
    path, _ = entity_metrics.viterbi(scores_LKK[None], np.array([length]), tags)
    spans = entity_metrics.entity_spans([tags[number] for number in path[0, :length]])
    return [{"kind": kind, "text": " ".join(words[start:stop])} for kind, start, stop in spans]


def _tag_string(path: Array, tags: Sequence[str], text: str) -> str:
    known_tags = [tags[number] for number in path]
    return " ".join([*known_tags, *[entity_metrics.OUTSIDE] * (len(text.split()) - len(known_tags))])


def baselines(train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
    """No entity at all, and the most frequent tag of each word."""
    nothing = [" ".join([entity_metrics.OUTSIDE] * len(tags.split())) for tags in rows["tags"]]
    return {
        "no entity": rows[["text", "tags"]].assign(predicted=nothing, confidence=1.0),
        "commonest tag of the word": entity_metrics.most_frequent_tag(train, rows),
    }
