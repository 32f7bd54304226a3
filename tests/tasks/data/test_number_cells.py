"""Numbers are read as people write them; how a column is written is found once, and what is no number stays none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.data.number_cells import NumberEvidence, NumberFormat, is_missing, read_numbers


def read(*cells: Any, **options: Any) -> Any:
    """The numbers of a column, read in the format that it tells."""
    column = pd.Series(list(cells), dtype=object)
    evidence = NumberEvidence()
    evidence.add(column)
    return read_numbers(column, evidence.format(**options)).tolist()


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["12.5", "-3", "+4", ".5", "5.", "1e3"], [12.5, -3, 4, 0.5, 5, 1000]),
        (["998,20", "1.002,50"], [998.2, 1002.5]),
        (["1,234", "950", "12,345"], [1234, 950, 12345]),
        (["1,234,567", "2.25"], [1234567, 2.25]),
        (["12,34,567", "1,00,000"], [1234567, 100000]),
        (["1.234.567", "950"], [1234567, 950]),
        (["950", "1.230", "2.345"], [950, 1230, 2345]),
        (["1.234", "2.5"], [1.234, 2.5]),
        (["0,123", "1,234"], [0.123, 1.234]),
        (["1,234", "5678", "2,5"], [1.234, 5678, 2.5]),
        (["1 234,5", "12\u00a0345", "7\u202f000,25"], [1234.5, 12345, 7000.25]),
        (["1'234.50", "1’000"], [1234.5, 1000]),
        (["$1,234.00", "$5", "-$7.50", "$-2"], [1234, 5, -7.5, -2]),
        (["34,992 EUR", "3 EUR", "€ 4"], [34992, 3, 4]),
        (["kr 100", "250 kr"], [100, 250]),
        (["6.71%", "12 %", "0"], [6.71, 12, 0]),
        (["5,504E+03", "1,2e-1"], [5504, 0.12]),
        (["12.5 kg", "1,300 kg", "7kg"], [12.5, 1300, 7]),
        (["36 months", "1 month", "missing"], [36, 1, np.nan]),
        (["1248 CC", "81 cc"], [1248, 81]),
        (["5 MB", "2 MB"], [5, 2]),
        (["$5", "€7"], [np.nan, np.nan]),
        (["5 kg", "700 g"], [np.nan, np.nan]),
        (["1,5 %", "2,25 %"], [1.5, 2.25]),
        (["(1,234.50)", "-3", "4-", "\u22125", "– 7"], [-1234.5, -3, -4, -5, -7]),
        (["1.2M", "3K", "4", "2.5B"], [1.2e6, 3000, 4, 2.5e9]),
        (["1,25 Mio. €", "3,5 Mrd. €", "750 Tsd. €"], [1.25e6, 3.5e9, 7.5e5]),
        (["1.2万", "3亿", "500", "2.75万元"], [12000, 3e8, 500, 27500]),
        (["1.5 lakh", "2 crore", "₹ 3 lakh"], [150_000, 2e7, 300_000]),
        (["2만", "1.5억"], [20000, 1.5e8]),
        (["100,-", "7,50"], [100, 7.5]),
        (["1,5E+03", "2,25"], [1500, 2.25]),
        (["１２３", "４"], [123, 4]),
        (["1e400", "-inf"], [np.inf, -np.inf]),
    ],
)
def test_a_column_is_read_with_the_value_that_is_meant(cells: Any, numbers: Any) -> None:
    np.testing.assert_array_equal(read(*cells), numbers)


@pytest.mark.parametrize(
    "cell", ["12.5.2021", "2021-01-04", "12abc", "3-4", "1,23,4", "0x10", "1_000", "12:30", "1 2", "--5", "%", ",", "(5"]
)
def test_what_is_no_number_is_none(cell: str) -> None:
    assert np.isnan(read(cell, "1", "2")[0])


WORDS = ["", " ", "NA", "n/a", "#N/A", "#DIV/0!", "#VALUE!", "null", "None", "NaN", "?", "-", "\\N", "\u00a0", None]


@pytest.mark.parametrize("word", WORDS)
def test_words_for_nothing_are_missing(word: Any) -> None:
    assert is_missing(pd.Series([word, "0"], dtype=object)).tolist() == [True, False]
    assert np.isnan(read(word, "5")[0])


def test_a_column_that_does_not_tell_is_read_as_its_source_is() -> None:
    assert read("1,234", "2,345", source=",") == [1.234, 2.345]
    assert read("1,234", "2,345", source=".") == [1234, 2345]
    assert read("1.234", "2.345", source=",") == [1234, 2345]
    assert read("1.234", "2.345", decimal=".") == [1.234, 2.345]


def test_one_currency_is_a_unit_and_two_are_no_numbers() -> None:
    np.testing.assert_array_equal(read("$1", "$2", "€3", "$4"), [np.nan] * 4)
    assert read("$1", "2", "USD 3") == [1, 2, 3]


def test_a_number_without_per_cent_sign_among_others_with_one_is_none() -> None:
    np.testing.assert_array_equal(read(*["5%"] * 30, "0.05")[-2:], [5, np.nan])


def test_types_and_whole_tables_need_no_reading() -> None:
    assert read_numbers(pd.Series([1, 2])).tolist() == [1.0, 2.0]
    assert NumberFormat.from_json(NumberFormat(",", "€", scaled=True).to_json()) == NumberFormat(",", "€", scaled=True)
    assert NumberFormat().to_json() == {}


def test_what_was_found_is_told_in_words() -> None:
    evidence = NumberEvidence()
    evidence.add(pd.Series(["€ 1.234,50", "€ 2"]))
    assert evidence.words(evidence.format()) == "decimal commas, thousands points, €"
    plain = NumberEvidence()
    plain.add(pd.Series(["1", "2.5", "0.123"]))
    assert plain.words(plain.format()) == ""
    assert not plain.is_ambiguous


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1'234.50", "950"], "thousands apostrophes"),
        (["1 234,5", "12 345"], "decimal commas, thousands blanks"),
        (["1,234,567", "2.25"], "thousands commas"),
        (["1.234,5"], "decimal commas, thousands points"),
        (["1234.5"], ""),
    ],
)
def test_the_sign_of_thousands_is_named(cells: Any, words: str) -> None:
    evidence = NumberEvidence()
    evidence.add(pd.Series(cells, dtype=object))
    assert evidence.words(evidence.format()) == words
