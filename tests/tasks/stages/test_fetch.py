"""Fetch writes the rows it is limited to in partitions, and refuses tables that do not fit together."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.core.settings import Fetch
from tasks.core.storage.artifacts import Table
from tasks.data import remarks
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.stages import fetch
from tests.support.labelled_amounts import LabelledAmounts


def test_tables_whose_columns_differ_are_never_joined(make_context: Any) -> None:
    class Two(LabelledAmounts):
        def load(self) -> Iterator[Any]:
            yield from super().load()
            yield self.table.assign(file="more.csv", row=2).rename(columns={"amount": "sum"})

    with pytest.raises(UserError, match=r"more\.csv and amounts\.csv differ in their columns \(sum, amount\)"):
        fetch.main(make_context(Two(pd.DataFrame({"label": ["a"], "amount": [1.0]}))))


def test_no_rows_are_refused_and_leave_nothing(make_context: Any) -> None:
    context = make_context(LabelledAmounts(pd.DataFrame({"label": [], "amount": []})))
    with pytest.raises(UserError, match="holds no rows"):
        fetch.main(context)
    assert not context.raw.path.exists()


def test_a_limit_is_kept(make_context: Any) -> None:
    class Few(LabelledAmounts):
        fetch = Fetch(limit=5, partition_rows=2)

    context = make_context(Few(pd.DataFrame({"label": ["a"] * 100, "amount": np.arange(100.0)})))
    fetch.main(context)
    assert [len(part) for part in Table(context.raw.open()).partitions()] == [2, 2, 1]
    assert context.raw.json("report.json")["rows"] == 5


def test_what_was_read_is_reported_before_anything_else_is_made_of_it(make_context: Any) -> None:
    class Split(LabelledAmounts):
        problem = MulticlassClassification()

        def load(self) -> Iterator[Any]:
            subsets = ["train", "train", "test"]
            yield from remarks.attach(
                (block.assign(subset=subsets) for block in super().load()), ["own splits by folder: a is train"]
            )

    context = make_context(Split(pd.DataFrame({"label": ["a", "b", "a"], "amount": [1.0, 2.0, 3.0]})))
    fetch.main(context)
    assert context.raw.json("report.json")["remarks"] == [
        "2 classes, own splits train 2, test 1",
        "own splits by folder: a is train",
    ]


def test_classes_that_differ_in_case_only_are_said(make_context: Any) -> None:
    class Cases(LabelledAmounts):
        problem = MulticlassClassification()

    context = make_context(Cases(pd.DataFrame({"label": ["a", "A", "b"], "amount": [1.0, 2.0, 3.0]})))
    fetch.main(context)
    assert context.raw.json("report.json")["remarks"] == [
        "3 classes, no splits of its own",
        "classes `A`, `a` differ in case only, and are classes of their own; write them alike to join them",
    ]
