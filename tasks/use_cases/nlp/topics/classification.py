"""Topic classification: class names, vocabulary, encoding, report, and linear baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import UserError
from tasks.metrics import classification
from tasks.text import character_ngrams, tokenization
from tasks.use_cases.nlp.topics import label_errors, text_baselines

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import Array

KEPT_COLUMNS = ("file", "row", "split", "text", "label", "truth")
"""Columns of the rows that are copied to the predictions."""
VOCABULARY_KINDS: dict[str, tokenization.Kind] = {"bag": "grams", "text_lstm": "subwords", "text_transformer": "subwords"}
"""The default kind of token of each architecture."""
SHORT_CHARACTERS = 500
"""Texts with at most this many characters on average are short: their character n-grams cost little time."""
MAX_ENTRIES: dict[tokenization.Kind, int] = {
    "grams": 150_000,
    "letters": 150_000,
    "characters": 150_000,
    "words": 30_000,
    "subwords": 8_000,
}
"""The default maximum size of each kind of vocabulary."""


def vocabulary_kind(architecture: str, texts: Sequence[str]) -> tokenization.Kind:
    """The default kind of token: for a bag of texts without blanks between words, such as Chinese ones, `characters`."""
    kind = VOCABULARY_KINDS.get(architecture, "words")
    return "characters" if kind == "grams" and character_ngrams.is_unspaced(texts) else kind


def own_vocabulary_kind(texts: Sequence[str]) -> tokenization.Kind:
    """The kind of token of a bag for texts of the user's own: letters where texts are short, which see endings and errors."""
    kind = vocabulary_kind("bag", texts)
    short = sum(map(len, texts)) <= SHORT_CHARACTERS * len(texts)
    return "letters" if kind == "grams" and short else kind


def fit_preprocessing(
    rows: DataFrame, class_names: Sequence[str], kind: tokenization.Kind, limit: int, min_count: int, longest: int
) -> dict[str, Any]:
    """The classes, in the order of `class_names` if there are any, and the vocabulary of the train rows."""
    vocabulary = tokenization.fit_vocabulary(rows["text"].to_list(), kind, limit or MAX_ENTRIES[kind], min_count, longest)
    return {"classes": present_classes(rows["label"], class_names), "vocabulary": vocabulary}


def present_classes(labels: Series, class_names: Sequence[str]) -> list[str]:
    """The classes present in `labels`, in the order of `class_names`, else sorted."""
    present = set(labels)
    return [name for name in class_names if name in present] or sorted(present)


def encode(rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
    """Encode N rows as token numbers, int32 (N, L), 0 as padding, and class indices, int64 (N,)."""
    number = {name: position for position, name in enumerate(state["classes"])}
    if unknown := set(rows["label"]) - set(number):
        raise UserError(f"the model knows no class {sorted(unknown)[0]!r}; it knows {', '.join(number)}")
    targets = np.array([number[label] for label in rows["label"]], dtype=np.int64)
    return tokenization.encode(rows["text"].to_list(), state["vocabulary"]), targets


def report(predictions: DataFrame) -> dict[str, Any]:
    """Confusion, precision, recall and F1 per class, calibration, areas under curves, and suspected label errors."""
    return {**classification.report(predictions), "label_noise": label_errors.find_label_errors(predictions)}


def exported_baselines(train: DataFrame, classes: Sequence[str]) -> dict[str, ExportedBaseline]:
    """Linear SVMs on tf-idf of words and word pairs, without and with character n-grams."""
    return text_baselines.exported(train["text"].to_list(), train["label"].to_list(), classes)
