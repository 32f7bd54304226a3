"""One reader understands folders, files and names as a person does, and says what it understood."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import UserError
from tasks.core.settings import Fetch
from tasks.data import layouts


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def read(folder: Path, **how: Any) -> list[tuple[str, str, str]]:
    return [(file.name, file.subset, file.label) for file in layouts.read_layout([folder], lambda path: True, **how).files]


def test_classes_lie_below_splits_in_any_case(tmp_path: Path) -> None:
    make(tmp_path, "Training/disc/1.png", "Training/box/1.png", "Testing/disc/2.png")
    assert read(tmp_path, classes=True) == [
        ("Testing/disc/2.png", "test", "disc"),
        ("Training/box/1.png", "train", "box"),
        ("Training/disc/1.png", "train", "disc"),
    ]


def test_a_folder_that_repeats_the_name_of_the_split_is_no_class(tmp_path: Path) -> None:
    make(tmp_path, *(f"seg_{split}/seg_{split}/{label}/1.png" for split in ("train", "test") for label in ("sea", "ice")))
    make(tmp_path, "seg_pred/seg_pred/9.png")
    layout = layouts.read_layout([tmp_path], lambda path: True, classes=True)
    assert {(file.subset, file.label) for file in layout.files} == {
        (split, label) for split in ("train", "test") for label in ("sea", "ice")
    }
    assert layout.remarks == (
        "own splits by folder: seg_test is test, seg_train is train",
        f"left out of {tmp_path.name}, in no split: seg_pred (1)",
    )


def test_a_copy_beside_the_splits_is_left_out_and_said(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1", "train/b/1", "test/a/2", "test/b/2", "xray/train/a/1", "xray/test/a/2", "readme.txt")
    layout = layouts.read_layout([tmp_path], lambda path: True, classes=True)
    assert [file.name for file in layout.files] == ["test/a/2", "test/b/2", "train/a/1", "train/b/1"]
    assert layout.remarks[1] == f"left out of {tmp_path.name}, in no split: readme.txt (1), xray (2)"


def test_wrappers_above_and_folders_below_the_classes_are_no_classes(tmp_path: Path) -> None:
    make(tmp_path, *(f"archive/data/{label}/images/{number}.jpg" for label in ("cat", "dog") for number in (1, 2)))
    assert {(subset, label) for _, subset, label in read(tmp_path, classes=True)} == {("", "cat"), ("", "dog")}


def test_splits_may_lie_below_the_classes(tmp_path: Path) -> None:
    make(tmp_path, *(f"{label}/{split}/1.jpg" for label in ("cat", "dog") for split in ("train", "test")))
    assert read(tmp_path, classes=True)[:2] == [("cat/test/1.jpg", "test", "cat"), ("cat/train/1.jpg", "train", "cat")]


def test_classes_whose_names_hold_the_word_test_are_classes(tmp_path: Path) -> None:
    make(tmp_path, "positive test/1.png", "negative test/1.png")
    assert {(subset, label) for _, subset, label in read(tmp_path, classes=True)} == {
        ("", "positive test"),
        ("", "negative test"),
    }


def test_tables_keep_the_splits_of_their_folders_or_names(tmp_path: Path) -> None:
    make(tmp_path / "by folder", "train/part.parquet", "validation/part.parquet", "test/part.parquet")
    assert [subset for _, subset, _ in read(tmp_path / "by folder")] == ["test", "train", "validation"]
    make(tmp_path / "by name", "train.tsv", "dev.tsv", "test.tsv")
    assert [subset for _, subset, _ in read(tmp_path / "by name")] == ["validation", "test", "train"]


def test_train_and_test_may_be_named_apart(tmp_path: Path) -> None:
    make(tmp_path, "old.csv", "new.csv", "more/old.csv")
    fetch = Fetch(train=str(tmp_path / "more"), test=str(tmp_path / "new.csv"))
    files = layouts.read_own(fetch, lambda path: True).files
    assert [(file.name, file.subset) for file in files] == [("more/old.csv", "train"), ("new.csv", "test")]
    fetch = Fetch(path=str(tmp_path / "old.csv"), test=str(tmp_path / "new.csv"))
    assert [file.subset for file in layouts.read_own(fetch, lambda path: True).files] == ["train", "test"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": "a.csv", "train": "b.csv"}, "path and train are both set"),
        ({"test": "b.csv"}, "validation or test is set, but no train rows"),
    ],
)
def test_train_rows_have_one_name(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fetch(**values)


def test_test_rows_alone_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "dev.csv", "test.csv")
    with pytest.raises(UserError, match="holds rows of test and validation only; name a file or folder for training"):
        layouts.check_train(layouts.read_layout([tmp_path], lambda path: True), "data")


def test_a_column_holds_the_split_of_each_row(tmp_path: Path) -> None:
    table = tmp_path / "all.csv"
    table.write_text("text,Split\na,train\nb,dev\nc,TEST\n")
    file = layouts.SourceFile(table, "all.csv")
    assert layouts.split_column(file, "", {}) == ("Split", {"train": "train", "dev": "validation", "TEST": "test"})
    table.write_text("text,split\na,train\nb,half\n")
    assert layouts.split_column(file, "", {}) == ("", {})
    with pytest.raises(UserError, match=r"the values of 'split' are 'half', 'train'; expected train and test"):
        layouts.split_column(file, "split", {})
