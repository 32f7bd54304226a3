"""Splits that a source lacks are taken from the rows that it leaves free, with the same share of each class."""

from collections import Counter

import pandas as pd

from tasks.core.splits import split_beside_source, split_by_hash


def keys(count: int, start: int = 0) -> pd.Series:
    return pd.Series([f"{place:08x}" for place in range(start, start + count)])


def test_every_class_has_the_same_share_of_each_split() -> None:
    labels = pd.Series(["cat"] * 200 + ["dog"] * 60 + ["yak"] * 20)
    split = split_beside_source(pd.Series([""] * 280), keys(280), labels, 0.15, 0.15)
    assert {name: dict(Counter(split[labels == name])) for name in ("cat", "dog", "yak")} == {
        "cat": {"train": 140, "validation": 30, "test": 30},
        "dog": {"train": 42, "validation": 9, "test": 9},
        "yak": {"train": 14, "validation": 3, "test": 3},
    }


def test_validation_is_a_share_of_the_rows_that_the_source_leaves_free() -> None:
    subset = pd.Series(["test"] * 300 + ["train"] * 100 + ["test"] * 2 + ["train"] * 20)
    labels = pd.Series(["cat"] * 400 + ["yak"] * 22)
    split = split_beside_source(subset, keys(422), labels, 0.15, 0.15)
    assert (split[subset == "test"] == "test").all()
    assert Counter(split[labels == "cat"]) == {"test": 300, "train": 85, "validation": 15}
    assert Counter(split[labels == "yak"]) == {"test": 2, "train": 17, "validation": 3}


def test_rows_with_one_key_share_a_split_and_their_place_does_not_matter() -> None:
    twice = pd.concat([keys(50), keys(50)], ignore_index=True)
    labels = pd.Series((["a", "b"] * 25) * 2)
    split = split_beside_source(pd.Series([""] * 100), twice, labels, 0.2, 0.2)
    assert split[:50].tolist() == split[50:].tolist()
    backwards = split_beside_source(pd.Series([""] * 100), twice[::-1], labels[::-1], 0.2, 0.2)
    assert backwards.sort_index().tolist() == split.tolist()


def test_without_labels_the_hash_of_the_key_decides() -> None:
    split = split_beside_source(pd.Series([""] * 90), keys(90), None, 0.15, 0.15)
    assert split.tolist() == split_by_hash(keys(90), 0.15, 0.15).tolist()
