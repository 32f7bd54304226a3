"""The kind of a column is inferred once from the whole table, and each cell is parsed by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.use_cases.credit import column_kinds as kinds_of_columns
from tasks.use_cases.credit import column_types


def kinds(**cells: Any) -> Any:
    table = pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in cells.items()})
    return kinds_of_columns.infer_column_kinds([table.head(7), table.tail(-7)], {}, ())


def test_numbers_words_counters_and_constants_are_distinguished() -> None:
    count = range(100)
    column_kinds = kinds(
        customer=[str(1000 + number) for number in count],
        income=[f"{number * 7.5}" if number % 9 else "" for number in count],
        code=[str(number % 3) for number in count],
        town=[f"town {number % 5}" for number in count],
        name=[f"person {number}" for number in count],
        bank=["ours"] * 100,
    )
    assert column_kinds == {
        "customer": "neither",
        "income": "number",
        "code": "number",
        "town": "category",
        "name": "neither",
        "bank": "neither",
    }


def test_a_few_words_among_numbers_are_errors_many_are_a_question() -> None:
    assert kinds(income=["3"] + ["9"] * 96 + ["1", "2", "oops"]) == {"income": "number"}
    with pytest.raises(
        UserError, match=r"'income' mixes numbers and text: 70 of 100 .* 'oops' is none; name it in fetch\.numbers"
    ):
        kinds(income=[str(number) for number in range(0, 140, 2)] + ["oops"] * 30)


def test_a_table_that_says_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="no column to learn from: each of bank has one value only"):
        kinds(bank=["ours"] * 30)


def test_a_cell_is_a_number_missing_or_a_fault_and_never_something_else() -> None:
    numbers, fault = column_types.parse_numbers(
        pd.Series([" 12.5 ", "1e3", "", "N/A", "?", "12abc", "inf", "-inf", "1e300", "NaN"])
    )
    assert numbers.tolist()[:2] == [12.5, 1000.0]
    assert numbers[2:].isna().all()
    assert list(fault) == ["", "", "", "", "", "not-a-number", "infinite", "infinite", "infinite", ""]


def test_a_code_is_the_same_written_with_and_without_a_point() -> None:
    values, fault = column_types.parse_categories(pd.Series(["1", "1.0", " 1 ", "A 11", "none", "x" * 300, "a\x00b"]))
    assert list(values[:5]) == ["1", "1", "1", "A 11", ""]
    assert list(fault) == ["", "", "", "", "", "too-long", "unprintable"]
    assert list(column_types.parse_categories(pd.Series([1.0, np.nan]))[0]) == ["1", ""]


def test_a_curve_rises_and_maps_any_distribution_to_normal_scores() -> None:
    skewed = np.random.default_rng(0).lognormal(0, 2, 4000)
    knots, scores = column_types.quantile_curve(skewed, 32)
    assert knots == sorted(knots)
    assert scores == sorted(scores)
    brought = np.interp(skewed, knots, scores)
    assert abs(brought.mean()) < 0.05
    assert brought.std() == pytest.approx(1, abs=0.1)


def test_a_curve_of_few_values_or_of_none_is_filled_up() -> None:
    assert column_types.quantile_curve(np.array([0.0, 0.0, 1.0, np.nan]), 4)[0] == [0.0, 1.0, 1.0, 1.0]
    assert column_types.quantile_curve(np.array([np.nan]), 3) == ([0.0] * 3, [0.0] * 3)


def test_rare_values_share_the_place_of_what_was_never_seen() -> None:
    cells = pd.Series(["a"] * 5 + ["b"] * 5 + ["c", ""])
    values = column_types.frequent_values(cells, 3)
    assert values == ["a", "b"]
    assert list(column_types.category_codes(pd.Series(["b", "c", "", "z", "a"]), values)) == [2, 0, 0, 0, 1]
