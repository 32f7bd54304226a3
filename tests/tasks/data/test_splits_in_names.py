"""Names are splits together with their neighbours, in any case and spelling; a word inside one name is no split."""

from typing import Any

import pytest

from tasks.core.errors import UserError
from tasks.data.splits_in_names import splits_of_files, splits_of_folders, splits_of_values


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train", "test"], {"train": "train", "test": "test"}),
        (["Training", "Testing"], {"Training": "train", "Testing": "test"}),
        (["TRAIN", "VAL"], {"TRAIN": "train", "VAL": "validation"}),
        (
            ["seg_train", "seg_test", "seg_pred"],
            {"seg_train": "train", "seg_test": "test", "seg_pred": "unlabelled"},
        ),
        (["train", "test", "docs"], {"train": "train", "test": "test"}),
        (["TrainSet", "ValidSet", "TestSet"], {"TrainSet": "train", "ValidSet": "validation", "TestSet": "test"}),
        (["train", "dev", "eval"], {"train": "train", "dev": "validation", "eval": "test"}),
        (["train", "eval"], {"train": "train", "eval": "validation"}),
        (["train"], {"train": "train"}),
        (["训练集", "测试集"], {"训练集": "train", "测试集": "test"}),
        (["Entrenamiento", "Prueba"], {"Entrenamiento": "train", "Prueba": "test"}),
        (["学習", "検証", "テスト"], {"学習": "train", "検証": "validation", "テスト": "test"}),
        (["positive test", "negative test"], {}),
        (["blood test", "training camp"], {}),
        (["bus", "car", "train"], {}),
        (["a", "b"], {}),
        ([], {}),
    ],
)
def test_folders_are_splits_where_they_differ_in_that_word_alone(names: Any, splits: Any) -> None:
    assert splits_of_folders(names) == splits


def test_splits_without_train_rows_are_refused() -> None:
    with pytest.raises(UserError, match="test and val look like splits, not classes, but none is for training"):
        splits_of_folders(["val", "test"])


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.csv", "dev.tsv", "test.csv.gz"], ["train", "validation", "test"]),
        (["eng.train", "eng.testa", "eng.testb"], ["train", "validation", "test"]),
        (["train.csv", "valid.csv", "testa.csv"], ["train", "validation", "test"]),
        (["train.csv", "testa.csv"], ["train", "validation"]),
        (["train_20k_balanced.csv.xz", "test.csv.xz"], ["train", "test"]),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"],
         ["train", "train", "test"]),
        (["train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"], ["train", "test"]),
        (["reviews.csv", "reviews_test.csv"], [None, "test"]),
        (["latest.csv", "contest.csv"], [None, None]),
        (["train_test.csv", "test.csv"], [None, "test"]),
        (["test.csv"], [None]),
        (["test_a.csv", "test_b.csv"], [None, None]),
    ],
)  # fmt: skip
def test_files_are_splits_where_not_all_have_the_same(names: Any, splits: Any) -> None:
    found = splits_of_files(names)
    assert [found.get(name) for name in names] == splits


@pytest.mark.parametrize(
    ("values", "splits"),
    [
        ({"train", "Test "}, {"train": "train", "Test ": "test"}),
        ({"TRAINING", "dev", "eval"}, {"TRAINING": "train", "dev": "validation", "eval": "test"}),
        ({"train"}, {}),
        ({"train", "test", "large"}, {}),
        ({"train", "test", ""}, {}),
        ({"1", "2"}, {}),
    ],
)
def test_a_column_holds_splits_where_all_its_values_do(values: Any, splits: Any) -> None:
    assert splits_of_values(values) == splits
