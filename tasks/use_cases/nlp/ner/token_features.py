"""Encode words as features and characters, and decode a network's scores to tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import UserError
from tasks.text.tokenization import FIRST_ID
from tasks.use_cases.nlp.ner import entity_metrics, word_features

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import Array

KEPT_COLUMNS = ("file", "row", "split", "text", "tags")
MAX_CHARACTERS = 16
"""The most characters of a word that are read; its last letters are among its features."""
MIN_CHARACTER_WORDS = 3
"""A known character occurs in at least this many words of the train rows."""
FIRST_CHARACTER = 2
"""The id of the most frequent character; 0 is padding, 1 an unknown one."""


def fit_preprocessing(
    rows: DataFrame, limit: int, min_count: int, longest: int, features: str = "", characters: bool = False
) -> dict[str, Any]:
    """The tags, O first, and the vocabulary of the train rows, the most frequent entries first.

    The vocabulary has features of the set `features` of `word_features`, and the characters of words if `characters` says so.
    """
    texts = [text.split() for text in rows["text"]]
    counts = Counter(feature for words in texts for of_word in word_features.features_of(words, features) for feature in of_word)
    ranked = _ranked(counts, min_count)[:limit]
    kinds = sorted({kind for tags in rows["tags"] for kind, _, _ in entity_metrics.entity_spans(tags.split())})
    if not kinds:
        raise UserError("no train row names an entity; every tag is O: there is nothing to learn")
    vocabulary: dict[str, Any] = {"kind": "features", "count": len(ranked), "entries": " ".join(ranked)}
    vocabulary["length"] = min(longest, max(len(words) for words in texts))
    if features:
        vocabulary["features"] = features
    if characters:
        character_counts = Counter(character for words in texts for word in words for character in set(word))
        vocabulary["characters"] = "".join(_ranked(character_counts, MIN_CHARACTER_WORDS))
    tags = [entity_metrics.OUTSIDE, *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
    return {"task": "names", "tags": tags, "vocabulary": vocabulary}


def _ranked(counts: Counter[str], min_count: int) -> list[str]:
    """The entries with at least `min_count`, the most frequent first."""
    return sorted((one for one, count in counts.items() if count >= min_count), key=lambda one: (-counts[one], one))


def network_fields(state: PreprocessingState) -> dict[str, Any]:
    """What a tagger has to know of its inputs: the number of features of a word, and of known characters."""
    vocabulary = state["vocabulary"]
    if "characters" not in vocabulary:
        return {}
    return {
        "features": word_features.width(vocabulary["features"]),
        "characters": FIRST_CHARACTER + len(vocabulary["characters"]),
    }


def encode(rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
    """Encode N rows as in `encode_texts`, and tag numbers, int64 (N, L), padded with `PADDING_TAG`.

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
    """The ids of each word of N texts, int32 (N, L, F + C): of its features, then of its characters. 0 is padding."""
    vocabulary = state["vocabulary"]
    number = {feature: place for place, feature in enumerate(vocabulary["entries"].split(" "), start=FIRST_ID["features"])}
    name, spell = vocabulary.get("features", ""), _character_ids(vocabulary.get("characters", ""))
    width = word_features.width(name) + len(spell("word"))
    numbers = np.zeros((len(texts), vocabulary["length"], width), np.int32)
    for row, text in enumerate(texts):
        words = text.split()
        listed = zip(words[: vocabulary["length"]], word_features.features_of(words, name), strict=False)
        ids = [[*(number.get(feature, 1) for feature in of_word), *spell(word)] for word, of_word in listed]
        if ids:
            numbers[row, : len(ids)] = ids
    return numbers


def _character_ids(characters: str) -> Callable[[str], list[int]]:
    """The function from a word to the ids of its first characters, padded with 0; of no ids without known characters."""
    number = {character: place for place, character in enumerate(characters, start=FIRST_CHARACTER)}
    cached: dict[str, list[int]] = {}

    def spell(word: str) -> list[int]:
        if word not in cached:
            ids = [number.get(character, 1) for character in word[:MAX_CHARACTERS]]
            cached[word] = ids + [0] * (MAX_CHARACTERS - len(ids))
        return cached[word]

    return spell if characters else lambda _: []


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
