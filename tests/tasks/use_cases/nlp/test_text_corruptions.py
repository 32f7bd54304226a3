"""Corruptions of texts: typing errors, case, truncation, and tags that stay beside their words."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.use_cases.nlp.data import corruptions
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.use_case import Nlp
from tests.support.text_rows import animals


def generator() -> Any:
    return np.random.default_rng(1)


def test_typing_errors_change_the_share_of_long_words_that_is_set() -> None:
    rows = pd.DataFrame({"text": [" ".join(["elephant"] * 200)] * 10})
    changed = corruptions.add_typos(rows, generator(), 0.3)["text"].str.split()
    assert changed.map(len).eq(200).all()
    wrong = np.mean([word != "elephant" for words in changed for word in words])
    assert wrong == pytest.approx(0.3, abs=0.04)


def test_rows_with_equal_texts_get_different_typing_errors() -> None:
    rows = pd.DataFrame({"text": ["where are the elephants walking today"] * 50})
    assert corruptions.add_typos(rows, generator(), 0.3)["text"].nunique() > 10


def test_case_is_all_capital_or_all_small() -> None:
    rows = pd.DataFrame({"text": ["The Cat sleeps", "ok"]})
    assert corruptions.to_upper(rows, generator())["text"].to_list() == ["THE CAT SLEEPS", "OK"]
    assert corruptions.to_lower(rows, generator())["text"].to_list() == ["the cat sleeps", "ok"]


def test_truncation_keeps_the_first_words_and_at_least_one() -> None:
    rows = pd.DataFrame({"text": ["one two three four", "alone"], "tags": ["", ""]})
    assert corruptions.truncate(rows, generator(), 0.5)["text"].to_list() == ["one two", "alone"]
    assert corruptions.truncate(rows, generator(), 0.25)["text"].to_list() == ["one", "alone"]


def test_truncation_cuts_the_tags_of_the_words_it_cuts() -> None:
    rows = pd.DataFrame({"text": ["Ada met Bob twice"], "tags": ["B-PER O B-PER O"]})
    cut = corruptions.truncate(rows, generator(), 0.5)
    assert cut[["text", "tags"]].to_numpy().tolist() == [["Ada met", "B-PER O"]]


@pytest.mark.parametrize("corruption", corruptions.corruptions(), ids=lambda one: f"{one.name} {one.severity}")
def test_every_corruption_keeps_labels_and_index(corruption: Any) -> None:
    rows = animals(20).assign(tags="").set_index(np.arange(100, 120))
    changed = corruption.apply(rows, generator())
    pd.testing.assert_frame_equal(changed.drop(columns=["text"]), rows.drop(columns=["text"]))


def test_language_modeling_has_no_corruptions_because_its_targets_are_the_text() -> None:
    assert Nlp(model=TextModel(task="words")).corruptions() == ()
    assert len(Nlp().corruptions()) == 6
