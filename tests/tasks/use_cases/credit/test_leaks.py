"""A column that alone tells the label is named; one that is only strong is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.use_cases.credit import leaks

RNG = np.random.default_rng(0)
LABEL = pd.Series(RNG.choice(["no", "no", "no", "yes"], 400))


def found(label: Any = LABEL, **columns: Any) -> list[str]:
    rows = pd.DataFrame(columns)
    return [text.split("`")[1] if "`" in text else text for text in leaks.find_leaks(rows, rows.columns, label)]


def test_copies_of_the_label_and_codes_for_it_are_found() -> None:
    yes = LABEL == "yes"
    codes = pd.Series(np.where(yes, 4.0, RNG.integers(1, 4, 400)))
    amount = pd.Series(np.where(yes, RNG.uniform(50, 90, 400), RNG.uniform(0, 49, 400)))
    assert found(copy=LABEL.map({"no": "paid", "yes": "late"}), code=codes, amount=amount) == ["copy", "code", "amount"]


def test_a_column_that_is_filled_after_the_event_is_found() -> None:
    closed = pd.Series(np.where(LABEL == "yes", RNG.uniform(0, 9, 400), np.nan))
    (text,) = leaks.find_leaks(pd.DataFrame({"closed": closed}), ["closed"], LABEL)
    assert text == "column `closed` is filled for one label only and tells it; is it known before the event?"


def test_strong_columns_and_columns_of_many_values_are_none() -> None:
    strong = LABEL.where(RNG.random(400) > 0.1, "no").map({"no": "a", "yes": "b"})
    distinct = pd.Series([f"{label}{place}" for place, label in enumerate(LABEL)])
    assert found(strong=strong, distinct=distinct, noise=pd.Series(RNG.normal(size=400))) == []


def test_rows_in_the_order_of_their_label_are_told() -> None:
    label = LABEL.sort_values(ignore_index=True)
    noise = pd.Series(RNG.normal(size=400))
    assert found(label, noise=noise) == ["the rows stand in the order of the label: an id or the row's number would tell it"]


def test_a_number_as_label_is_told_by_its_order() -> None:
    price = pd.Series(RNG.lognormal(size=400))
    assert found(price, logarithm=np.log(price), noisy=price + RNG.normal(size=400)) == ["logarithm"]


def test_few_rows_tell_nothing() -> None:
    assert found(LABEL.head(20), copy=LABEL.head(20)) == []
