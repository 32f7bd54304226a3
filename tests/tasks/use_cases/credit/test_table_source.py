"""What a table means is found once per source and said: label, kinds, ids, splits, how numbers are written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.cleaning.partitions import clean_partition_file, kept_rows
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.data import remarks


def read(place: Path, clean: Any = None, **fetch: Any) -> tuple[Any, list[str]]:
    """The clean rows, and the sentences on the source."""
    case = registry.build("use_cases", "credit", {"fetch": {"path": str(place), **fetch}, "clean": clean or {}})
    blocks = list(case.load())
    said = [text for block in blocks for text in remarks.take(block)]
    folder = place.parent / "work"
    folder.mkdir(exist_ok=True)
    pd.concat(blocks, ignore_index=True).to_parquet(folder / "raw.parquet")
    clean_partition_file(case, folder / "raw.parquet", 0, folder)
    cleaned, light = (pd.read_parquet(folder / f"{kind}-00000.parquet") for kind in ("cleaned", "light"))
    return kept_rows(cleaned, deduplicate_and_split(case, light)).reset_index(drop=True), said


def people(rows: int = 60) -> pd.DataFrame:
    numbers = range(rows)
    return pd.DataFrame(
        {
            "income": [f"{20_000 + 731 * number % 90_000:,}" for number in numbers],
            "job": ["office", "trade", "student"] * (rows // 3),
            "y": ["no", "yes", "no", "no"] * (rows // 4),
        }
    )


def test_numbers_are_read_as_people_write_them_and_that_is_said(tmp_path: Path) -> None:
    people().assign(note=[f"note {number} about it" for number in range(60)]).to_csv(tmp_path / "my.csv", index=False)
    rows, said = read(tmp_path / "my.csv")
    assert rows["income"].head(2).tolist() == [20_000.0, 20_731.0]
    assert "column `income` read as number with thousands commas (1,234 is 1234; fetch.decimal=comma reads it otherwise)" in said
    assert "column `note` left out: 100 % distinct text" in said
    assert "label: column `y`, 2 classes" in said
    told, _ = read(tmp_path / "my.csv", decimal="comma")
    assert told["income"].head(2).tolist() == [20.0, 20.731]


def test_columns_that_tell_help_those_that_do_not(tmp_path: Path) -> None:
    table = people().assign(rate=[f"{number / 8:.2f}".replace(".", ",") for number in range(60)])
    table.to_csv(tmp_path / "my.csv", index=False, sep=";")
    rows, said = read(tmp_path / "my.csv")
    assert rows["income"].head(2).tolist() == [20.0, 20.731]
    assert rows["rate"].head(3).tolist() == [0.0, 0.12, 0.25]
    assert "my.csv: columns are split by semicolons" in said


def test_of_several_usual_names_the_last_column_is_the_label_and_the_others_are_told(tmp_path: Path) -> None:
    people().assign(default=["no", "yes"] * 30)[["default", "job", "income", "y"]].to_csv(tmp_path / "my.csv", index=False)
    _, said = read(tmp_path / "my.csv")
    assert "the label is `y`; `default`, also usual for a label, is a feature (fetch.label, fetch.ignore)" in said
    _, said = read(tmp_path / "my.csv", label="default")
    assert "label: column `default`, 2 classes" in said


def test_people_with_other_ids_are_no_duplicates_and_with_the_same_they_are(tmp_path: Path) -> None:
    twins = pd.concat([people().head(12)] * 5, ignore_index=True)
    twins.to_csv(tmp_path / "none.csv", index=False)
    assert len(read(tmp_path / "none.csv")[0]) == 60
    assert len(read(tmp_path / "none.csv", {"repeats": "drop"})[0]) == 12
    twins.assign(customerID=[f"c{number}" for number in range(60)]).to_csv(tmp_path / "other.csv", index=False)
    rows, said = read(tmp_path / "other.csv")
    assert len(rows) == 60
    assert "column `customerID` left out: 100 % distinct text" in said
    same = twins.assign(customerID=[f"c{number % 36}" for number in range(60)])
    same.to_csv(tmp_path / "same.csv", index=False)
    assert len(read(tmp_path / "same.csv", ignore=["customerID"])[0]) == 36


def test_an_id_of_numbers_is_no_feature(tmp_path: Path) -> None:
    people().assign(client_id=[7 * number % 997 for number in range(1, 61)], seen=[7 * n % 997 for n in range(1, 61)]).to_csv(
        tmp_path / "my.csv", index=False
    )
    rows, said = read(tmp_path / "my.csv")
    assert "client_id" not in rows
    assert rows["seen"].tolist()[:2] == [7.0, 14.0]
    assert "column `client_id` left out: it is an id, another number in each row" in said


def test_plus_minus_and_none_are_labels(tmp_path: Path) -> None:
    people().assign(y=["+", "-", "none", "-"] * 15).to_csv(tmp_path / "my.csv", index=False)
    rows, _ = read(tmp_path / "my.csv")
    assert rows["label"].value_counts().to_dict() == {"-": 30, "+": 15, "none": 15}


def test_files_and_columns_for_splits_are_taken(tmp_path: Path) -> None:
    people(60).to_csv(tmp_path / "train.csv", index=False)
    people(24).to_csv(tmp_path / "test.csv", index=False)
    rows, _ = read(tmp_path / "train.csv", path="", train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))
    assert (rows["split"] == "test").sum() == 24
    people(60).assign(split=(["train"] * 4 + ["test"]) * 12).to_csv(tmp_path / "column.csv", index=False)
    rows, said = read(tmp_path / "column.csv")
    assert "own splits of column.csv by its column split" in said
    assert (rows["split"] == "test").sum() == 12


def test_reserved_names_are_changed_and_that_is_said(tmp_path: Path) -> None:
    people().assign(split=[number % 7 for number in range(60)]).to_csv(tmp_path / "my.csv", index=False)
    rows, said = read(tmp_path / "my.csv")
    assert rows["split (column)"].tolist()[:3] == [0.0, 1.0, 2.0]
    assert "column `split` is called `split (column)`" in said


def test_a_file_without_a_header_is_given_its_columns(tmp_path: Path) -> None:
    people().to_csv(tmp_path / "my.csv", index=False, header=False)
    rows, _ = read(tmp_path / "my.csv", columns="income, job, y")
    assert len(rows) == 60
    pd.DataFrame({"1.5": [1, 2], "no": ["a", "b"]}).to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(UserError, match=r"Does the file begin with its rows\? Then name all columns in fetch\.columns"):
        read(tmp_path / "bare.csv")


def test_lists_in_json_lines_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    lines = [json.dumps({**row, "tags": [1, 2]}) for row in people().to_dict("records")]
    (tmp_path / "my.jsonl").write_text("\n".join(lines) + "\n")
    rows, said = read(tmp_path / "my.jsonl")
    assert "tags" not in rows
    assert "column `tags` left out: line 1 holds a list or an object" in said


def test_several_files_by_a_pattern_are_one_table(tmp_path: Path) -> None:
    people(36).to_csv(tmp_path / "a1.csv", index=False)
    people(24)[["y", "income", "job"]].to_csv(tmp_path / "a2.csv", index=False)
    rows, _ = read(tmp_path / "a1.csv", path=str(tmp_path / "a*.csv"))
    assert rows["file"].value_counts().to_dict() == {"a1.csv": 36, "a2.csv": 24}
    people(24).drop(columns="job").to_csv(tmp_path / "a3.csv", index=False)
    with pytest.raises(UserError, match=r"a3\.csv and a1\.csv differ in their columns \(job\)"):
        read(tmp_path / "a1.csv", path=str(tmp_path / "a*.csv"))


def test_labels_that_differ_in_case_are_one_class_only_if_they_are_words_for_yes_and_no(tmp_path: Path) -> None:
    table = people()
    table.assign(y=["Yes" if place % 8 == 1 else label for place, label in enumerate(table["y"])]).to_csv(
        tmp_path / "my.csv", index=False
    )
    rows, said = read(tmp_path / "my.csv")
    assert rows["label"].value_counts().to_dict() == {"no": 45, "Yes": 15}
    assert {"label: column `y`, 2 classes", "labels `Yes`, `yes` are read as one class"} <= set(said)
    table.assign(y=["Rome" if place % 2 else "rome" for place in range(60)]).to_csv(tmp_path / "my.csv", index=False)
    rows, said = read(tmp_path / "my.csv")
    assert rows["label"].nunique() == 2
    assert not [text for text in said if "Rome" in text]


def test_a_feature_may_be_called_label(tmp_path: Path) -> None:
    people().rename(columns={"job": "label"}).to_csv(tmp_path / "my.csv", index=False)
    rows, said = read(tmp_path / "my.csv", label="y", categories=["label"])
    assert rows["label (column)"].tolist()[:3] == ["office", "trade", "student"]
    assert rows["label"].tolist()[:3] == ["no", "yes", "no"]
    assert "column `label`, which is not the label, is called `label (column)`" in said
    case = registry.build("use_cases", "credit", {"fetch": {"path": str(tmp_path / "my.csv"), "label": "y"}})
    state = {"numbers": ["income"], "categories": {"label (column)": ["office"]}, "classes": ["no", "yes"]}
    (new,) = case.load_unlabelled(tmp_path / "my.csv", state)
    assert new["label (column)"].tolist()[:3] == ["office", "trade", "student"]


def test_numbers_of_several_currencies_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    people().assign(paid=[f"{'$€'[place % 2]}{place}" for place in range(60)]).to_csv(tmp_path / "my.csv", index=False)
    rows, said = read(tmp_path / "my.csv")
    assert "paid" not in rows
    assert "column `paid` left out: its numbers have several units or currencies ($, €)" in said


@pytest.mark.parametrize(
    ("content", "fetch", "words"),
    [
        ("income,y\n1,no\n2,no\n", {}, "the label's column 'y' has the value 'no' only"),
        ("income,y\n1,\n2,\n", {}, "the label's column 'y' has no value"),
        ("income,y\n1,no\n2,yes\n", {"label": "defualt"}, "no column 'defualt'; it has income, y"),
        ("income,default\n1,no\n2,yes\n", {"label": "defualt"}, "did you mean 'default'?"),
        ("income,y\n1,no\n2,yes\n", {"ignore": ["incmoe"]}, "did you mean 'income'?"),
        ("income,y\n1,no\n2,yes\n", {"target": "number"}, "fetch.target is number, but 'y' holds 'no'"),
        ("income:y\n1:no\n2:yes\n", {}, "Then set fetch.separator=:"),
        ("", {}, "is empty"),
    ],
)
def test_a_wrong_table_is_refused_by_its_head(tmp_path: Path, content: str, fetch: Any, words: str) -> None:
    (tmp_path / "my.csv").write_text(content)
    case = registry.build("use_cases", "credit", {"fetch": {"path": str(tmp_path / "my.csv"), **fetch}})
    with pytest.raises(UserError, match=re.escape(words)) as refused:
        case.check_head()
    assert "\n" not in str(refused.value)
