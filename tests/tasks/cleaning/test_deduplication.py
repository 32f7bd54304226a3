"""Every row has one outcome: of equal rows one is kept, and a near-duplicate of a test row is no train row."""

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.cleaning.partitions import kept_rows
from tasks.cleaning.quality_report import build_quality_report, check_classes, check_reject_share, check_splits
from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.settings import Clean
from tasks.problems.multiclass_classification import MulticlassClassification
from tests.support.labelled_amounts import LabelledAmounts


class AssignsByColumn(LabelledAmounts):
    clean = Clean(rare_classes="refuse")
    problem: ClassVar[Problem] = MulticlassClassification()

    def __init__(self) -> None:
        super().__init__(None)

    def duplicate_group(self, rows: Any) -> Any:
        return rows["looks"]

    def assign_split(self, rows: Any, duplicate_group: Any) -> Any:
        return rows["subset"]


def light(**columns: Any) -> Any:
    table = pd.DataFrame({"file": "f", "label": "a", "fault": "", "fix": "", "part": 0, **columns})
    return table.assign(row=range(len(table)), looks=table.get("looks", table["key"]))


def test_of_equal_rows_the_first_in_the_split_of_highest_priority_is_kept() -> None:
    outcomes = deduplicate_and_split(
        AssignsByColumn(), light(key=list("aabbcc"), subset=["train", "test", "train", "validation", "train", "train"])
    )
    assert outcomes["verdict"].tolist() == ["duplicate", "kept", "duplicate", "kept", "kept", "duplicate"]
    assert outcomes["reason"].tolist() == ["duplicate of f:1", "", "duplicate of f:3", "", "", "duplicate of f:4"]


def test_every_row_of_a_given_test_split_is_kept_and_its_repeats_are_counted() -> None:
    rows = light(key=list("aaab"), subset=["train", "test", "test", "test"], label=["a", "a", "b", "b"])
    outcomes = deduplicate_and_split(AssignsByColumn(), rows)
    assert outcomes["verdict"].tolist() == ["duplicate", "kept", "kept", "kept"]
    assert outcomes["fix"].tolist() == ["", "", "seen repeat in test with another label: f:1", ""]
    report = build_quality_report(AssignsByColumn(), outcomes)
    assert report["official_test"] == {"rows": 3, "kept": 3, "repeats": 1}
    assert report["remarks"] == {"repeat in test with another label": 1}


def test_the_repeats_of_a_given_test_split_can_be_left_out() -> None:
    class Unique(AssignsByColumn):
        clean = Clean(official_test="unique", rare_classes="refuse")

    outcomes = deduplicate_and_split(Unique(), light(key=list("aab"), subset=["test", "test", "train"]))
    assert outcomes["verdict"].tolist() == ["kept", "duplicate", "kept"]
    assert build_quality_report(Unique(), outcomes)["official_test"] == {"rows": 2, "kept": 1, "repeats": 0}


def test_rows_that_repeat_test_rows_are_no_reason_to_refuse_the_source() -> None:
    outcomes = deduplicate_and_split(
        AssignsByColumn(), light(key=list("abcd"), looks=list("xxyy"), subset=["train", "test", "train", "train"])
    )
    check_reject_share(Clean(max_reject_share=0.05), outcomes, Path("quarantine"))


def test_a_train_row_that_is_a_near_duplicate_of_a_test_row_is_a_leak() -> None:
    outcomes = deduplicate_and_split(
        AssignsByColumn(), light(key=list("abcd"), looks=list("xxyy"), subset=["train", "test", "train", "train"])
    )
    assert outcomes["verdict"].tolist() == ["quarantined", "kept", "kept", "kept"]
    assert outcomes["reason"][0] == "leak: looks like f:1 of test"
    report = build_quality_report(AssignsByColumn(), outcomes)
    assert report["reasons"] == {"leak": 1}
    assert report["near_duplicates"] == {"groups": 1, "rows": 2}


def test_invalid_rows_neither_leak_nor_count_as_originals() -> None:
    outcomes = deduplicate_and_split(
        AssignsByColumn(), light(key=["", "a", "a"], fault=["blank", "", ""], subset=["test", "train", "train"])
    )
    assert outcomes["verdict"].tolist() == ["quarantined", "kept", "duplicate"]


def test_an_unknown_split_is_an_error_of_the_code() -> None:
    with pytest.raises(
        TypeError, match="assign_split of AssignsByColumn returned 'dev'; expected one of train, validation, test"
    ):
        deduplicate_and_split(AssignsByColumn(), light(key=list("ab"), subset=["dev", "train"]))


class ComparesNeighbours(AssignsByColumn):
    """Adds the amount of the row before, and rejects a row that repeats it."""

    def clean_table(self, rows: Any) -> Any:
        before = rows["amount"].shift()
        repeated = rows["amount"] == before
        return pd.DataFrame(
            {"fault": repeated.map({True: "stale: again", False: ""}), "fix": "dated: by its place", "before": before}
        )


def test_clean_table_adds_columns_and_quarantines_rows() -> None:
    rows = light(key=list("abcd"), amount=[1.0, 2.0, 2.0, 3.0], fault=["", "", "", "blank"], subset="context")
    outcomes = deduplicate_and_split(ComparesNeighbours(), rows.assign(subset=["context", "train", "train", "train"]))
    assert outcomes["verdict"].tolist() == ["kept", "kept", "quarantined", "quarantined"]
    assert outcomes["reason"].tolist() == ["", "", "stale: again", "blank"]
    assert outcomes["before"].tolist()[1:2] == [1.0]
    assert build_quality_report(ComparesNeighbours(), outcomes)["splits"] == {
        "train": 1,
        "validation": 0,
        "test": 0,
        "context": 1,
    }
    kept = kept_rows(rows.drop(columns=["part", "looks", "subset"]), outcomes)
    assert kept["split"].tolist() == ["context", "train"]
    assert kept["fix"].tolist() == ["dated: by its place"] * 2
    assert list(kept["before"].isna()) == [True, False]


def test_every_class_must_be_in_every_split() -> None:
    rows = light(key=list("abcde"), label=list("aaabb"), subset=["train", "validation", "test"] + ["train"] * 2)
    outcomes = deduplicate_and_split(AssignsByColumn(), rows)
    with pytest.raises(UserError, match="class 'b' has 2 clean rows, none of them in validation or test"):
        check_classes(AssignsByColumn(), outcomes)


def test_a_split_without_a_row_is_refused_with_what_became_of_the_rows() -> None:
    rows = light(key=list("aabb"), label=list("aabb"), subset=["train", "test", "train", "test"])
    outcomes = deduplicate_and_split(AssignsByColumn(), rows)
    with pytest.raises(UserError, match="of 4 rows none is left for train, validation; 2 are left out for duplicate"):
        check_splits(AssignsByColumn(), outcomes)
