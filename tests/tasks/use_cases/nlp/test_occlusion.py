"""Word importance: the deciding word has the largest weight, an irrelevant one has none, and spans are positions in the text."""

from typing import Any

import numpy as np

from tasks.use_cases.nlp.topics.occlusion import MAX_WORDS, word_importance


def answer(texts: Any) -> Any:
    """Logits of a machine that looks for one word."""
    return np.array([[3.0, 0.0] if "cat" in text.split() else [0.0, 1.0] for text in texts])


def test_words_are_found_where_they_stand_and_their_worth_is_what_is_lost() -> None:
    text = "a cat here"
    (parts,) = word_importance([text], answer)
    worth = {text[part["start"] : part["end"]]: part["weight"] for part in parts}
    assert worth["a"] == worth["here"] == 0
    assert 0.6 < worth["cat"] < 0.7


def test_a_long_text_is_weighed_as_far_as_the_limit_and_an_empty_one_not_at_all() -> None:
    long, empty = word_importance(["word " * 500, ""], answer)
    assert len(long) == MAX_WORDS
    assert empty == []
