"""A class of three rows is in every split; one with fewer is dropped, merged or kept, and never a reason to stop by itself."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from tasks.cleaning import rare_classes
from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.cleaning.partitions import kept_rows
from tasks.cleaning.quality_report import build_quality_report, check_classes, check_reject_share
from tasks.core.problem import Problem
from tasks.core.settings import Clean
from tasks.problems.multiclass_classification import MulticlassClassification
from tests.support.labelled_amounts import LabelledAmounts

Way = Literal["drop", "merge", "keep", "refuse"]


class AllTrain(LabelledAmounts):
    """Puts every row into train, but for those of the class `common`, which are in all splits."""

    problem: ClassVar[Problem] = MulticlassClassification()

    def __init__(self, way: Way = "drop") -> None:
        super().__init__(None)
        object.__setattr__(self, "clean", Clean(rare_classes=way))

    def duplicate_group(self, rows: Any) -> Any:
        return rows["key"]

    def assign_split(self, rows: Any, duplicate_group: Any) -> Any:
        places = pd.Series(range(len(rows)), index=rows.index)
        common = places.map(lambda place: ("train", "validation", "test")[place % 3])
        return common.where(rows["label"] == "common", "train")


def light(labels: list[str], subsets: Any = "") -> Any:
    keys = [f"{place:04d}" for place in range(len(labels))]
    table = pd.DataFrame({"file": "f", "label": labels, "fault": "", "fix": "", "part": 0, "key": keys, "subset": subsets})
    return table.assign(row=range(len(table)))


def test_a_class_of_three_rows_is_in_every_split() -> None:
    outcomes = deduplicate_and_split(AllTrain(), light(["common"] * 9 + ["rare"] * 3))
    assert sorted(outcomes.loc[outcomes["label"] == "rare", "split"]) == ["test", "train", "validation"]
    assert outcomes["verdict"].tolist() == ["kept"] * 12
    check_classes(AllTrain(), outcomes)


def test_no_row_is_moved_into_a_split_that_the_source_names() -> None:
    subsets = ["train", "train", "test"] * 3 + ["train"] * 3
    split = pd.Series(["train", "validation", "test"] * 3 + ["train"] * 3)
    label = pd.Series(["common"] * 9 + ["rare"] * 3)
    moved = rare_classes.spread(split, pd.Series(range(12)).astype(str), label, pd.Series(subsets) == "test")
    assert sorted(moved[9:]) == ["train", "train", "validation"]


def test_a_class_with_too_few_rows_is_left_out_and_named() -> None:
    case = AllTrain()
    outcomes = deduplicate_and_split(case, light(["common"] * 9 + ["dog"] * 3 + ["yak", "gnu", "gnu"]))
    assert outcomes["reason"].tolist()[-2:] == ["rare-class: 'gnu' has 2 rows, too few for every split"] * 2
    report = build_quality_report(case, outcomes)
    assert report["rare_classes"] == {"gnu": 2, "yak": 1}
    assert (report["kept"], report["reasons"]) == (12, {"rare-class": 3})
    check_classes(case, outcomes)
    check_reject_share(Clean(max_reject_share=0.0), outcomes, Path("quarantine"))


def test_rare_classes_are_merged_into_one() -> None:
    rows = light(["common"] * 9 + ["yak", "gnu", "gnu"])
    outcomes = deduplicate_and_split(AllTrain("merge"), rows)
    assert sorted(outcomes["split"][9:]) == ["test", "train", "validation"]
    kept = kept_rows(rows.drop(columns=["part"]), outcomes)
    assert kept["label"].tolist()[9:] == ["other"] * 3


def test_rare_classes_with_a_train_row_are_kept_on_request() -> None:
    case = AllTrain("keep")
    outcomes = deduplicate_and_split(case, light(["common"] * 9 + ["yak", "gnu"], [""] * 9 + ["", "test"]))
    assert outcomes["verdict"].tolist()[9:] == ["kept", "kept"]
    check_classes(case, outcomes)


def spread(split: str, group: str, label: str, fixed: str = "") -> list[str]:
    """The moved splits of rows, each given by a letter of its split, group and class; `fixed` marks those that a source names."""
    names = {"r": "train", "v": "validation", "e": "test"}
    columns = ([names[letter] for letter in split], list(group), list(label), [mark == "x" for mark in fixed.ljust(len(split))])
    moved = rare_classes.spread(*(pd.Series(column) for column in columns))
    return [next(letter for letter, name in names.items() if name == each) for each in moved]


def test_look_alikes_of_a_rare_class_move_together() -> None:
    moved = spread("rrrrrve", "aabcdef", "yyyyccc")
    assert moved[0] == moved[1]
    assert sorted({moved[0], moved[2], moved[3]}) == ["e", "r", "v"]


def test_a_group_of_two_classes_moves_only_if_both_can_spare_it() -> None:
    # the group a holds the only test row of class c, so another group of y has to leave test
    assert spread("eeerrrv", "aabcdef", "ycyyccc") == list("eevrrrv")
    # the group c has a row of class c, which has others in train: it may move, as the only third group of y
    moved = spread("rrrrrve", "abccdef", "yyycccc")
    assert sorted(moved[:3]) == ["e", "r", "v"]
    assert moved[2] == moved[3]


def test_a_row_that_looks_like_an_official_test_row_is_no_train_row() -> None:
    # row 0 looks like row 1, which the source puts into test; so train and validation have only rows 2 and 3
    moved = spread("revvrrve", "aabcdefg", "yyyycccc", " x     x")
    assert moved[:2] == ["r", "e"]
    assert sorted(moved[2:4]) == ["r", "v"]
