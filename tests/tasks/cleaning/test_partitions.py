"""Rows that violate the schema are quarantined; a use case that loses rows or types is an error of its code."""

from typing import Any

import pandas as pd
import pytest

from tasks.cleaning.quality_report import reason_code
from tests.support.labelled_amounts import LabelledAmounts, fetch_and_clean


def test_rows_that_violate_the_schema_are_quarantined_by_column(make_context: Any) -> None:
    amounts = [1.0, -1.0, 2.0, float("nan"), float("inf"), 99.0, 3.0, 4.0, 5.0]
    table = pd.DataFrame({"label": ["a", "b", "c", *"abaaab"], "amount": amounts})
    report, rows, quarantine = fetch_and_clean(make_context(LabelledAmounts(table)))
    assert rows["amount"].tolist() == [1.0, 99.0, 3.0, 4.0, 5.0]
    assert dict(zip(quarantine["row"], quarantine["reason"].map(reason_code), strict=True)) == {
        3: "schema amount", 4: "schema label", 5: "schema amount", 6: "schema amount",
    }  # fmt: skip
    assert report["reasons"] == {"schema amount": 3, "schema label": 1}


def test_a_row_that_may_be_cut_short_is_quarantined(make_context: Any) -> None:
    table = pd.DataFrame(
        {"label": ["a"] * 5, "amount": [1.0, 2.0, 3.0, 4.0, 5.0], "doubt": ["", "", "", "", "cut-short: no line break"]}
    )
    report, _, quarantine = fetch_and_clean(make_context(LabelledAmounts(table)))
    assert report["reasons"] == {"cut-short": 1}
    assert quarantine["row"].tolist() == [6]


def test_a_use_case_that_loses_rows_or_types_is_an_error_of_its_code(make_context: Any) -> None:
    class LosesRows(LabelledAmounts):
        def clean_partition(self, rows: Any) -> Any:
            return super().clean_partition(rows).head(1)

    class LosesTypes(LabelledAmounts):
        def clean_partition(self, rows: Any) -> Any:
            return super().clean_partition(rows).assign(amount="much")

    table = pd.DataFrame({"label": ["a", "b"], "amount": [1.0, 2.0]})
    with pytest.raises(AssertionError, match="clean_partition of LosesRows returned 1 rows for 2 raw rows"):
        fetch_and_clean(make_context(LosesRows(table), "rows"))
    with pytest.raises(TypeError, match="clean_partition of LosesTypes returned column 'amount' against its Schema"):
        fetch_and_clean(make_context(LosesTypes(table), "types"))
