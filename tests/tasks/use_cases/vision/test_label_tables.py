"""The classes of pictures may be in a table beside them, by path, by name, or by name without suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import remarks
from tasks.use_cases.vision.settings import ImageFetch
from tasks.use_cases.vision.use_case import Vision
from tests.support.image_rows import encode_image, random_image

LABELS = ["cat", "dog", "dog", "cat"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures in one folder."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    for number in range(4):
        (tmp_path / "data" / "images" / f"{number:03}.png").write_bytes(encode_image(random_image(number)))
    return tmp_path / "data"


def load(folder: Path, **fetch: Any) -> tuple[Any, list[str]]:
    blocks = list(Vision(fetch=ImageFetch(path=str(folder), **fetch)).load())
    said = [text for block in blocks for text in remarks.take(block)]
    return pd.concat(blocks, ignore_index=True), said


@pytest.mark.parametrize("written", ["images/{}.png", "{}.png", "{}", "images\\{}.png", "./images/{}.PNG"])
def test_names_are_found_however_they_are_written(pictures: Path, written: str) -> None:
    names = [written.format(f"{number:03}") for number in range(4)]
    pd.DataFrame({"file": names, "label": LABELS}).to_csv(pictures / "labels.csv", index=False)
    Vision(fetch=ImageFetch(path=str(pictures))).check_head()
    rows, said = load(pictures)
    assert dict(zip(rows["file"], rows["label"], strict=True)) == {
        f"images/{number:03}.png": label for number, label in enumerate(LABELS)
    }
    assert said == ["classes by column label of labels.csv, pictures by its column file (column)"]


def test_tables_by_split_and_a_column_of_splits_are_obeyed(pictures: Path) -> None:
    names = [f"{number:03}" for number in range(4)]
    for split, places in (("train", [0, 1]), ("test", [2, 3])):
        table = pd.DataFrame({"id": [names[place] for place in places], "breed": [LABELS[place] for place in places]})
        table.to_csv(pictures / f"{split}.csv", index=False)
    assert load(pictures)[0]["subset"].tolist() == ["train", "train", "test", "test"]
    for path in pictures.glob("*.csv"):
        path.unlink()
    pd.DataFrame({"id": names, "class": LABELS, "split": ["train", "train", "val", "test"]}).to_csv(
        pictures / "all.csv", index=False
    )
    assert load(pictures)[0]["subset"].tolist() == ["train", "train", "validation", "test"]


def test_what_table_and_folder_do_not_share_is_said(pictures: Path) -> None:
    pd.DataFrame({"id": ["000", "001", "777"], "label": ["cat", "dog", "dog"]}).to_csv(pictures / "labels.csv", index=False)
    rows, said = load(pictures)
    assert rows["label"].tolist() == ["cat", "dog"]
    assert said[1:] == ["1 rows of labels.csv name no picture", "left out: 2 pictures that no table names"]


def test_folders_are_the_classes_unless_a_label_is_named(pictures: Path) -> None:
    (pictures / "more").mkdir()
    (pictures / "more" / "9.png").write_bytes(encode_image(random_image(9)))
    pd.DataFrame({"id": ["000", "9"], "mood": ["calm", "wild"]}).to_csv(pictures / "labels.csv", index=False)
    assert sorted(set(load(pictures)[0]["label"])) == ["images", "more"]
    assert load(pictures, label="mood")[0]["label"].tolist() == ["calm", "wild"]


def test_an_unclear_table_is_refused_with_the_way_out(pictures: Path) -> None:
    pd.DataFrame({"id": ["000", "001"], "mood": ["calm", "wild"], "size": [1, 2]}).to_csv(pictures / "t.csv", index=False)
    with pytest.raises(UserError, match=r"which column is their class.* as in fetch.label=mood"):
        load(pictures)


def test_pictures_without_classes_are_refused_by_their_head(pictures: Path) -> None:
    with pytest.raises(UserError, match=r"all 4 files are of the class 'images'; expected one sub-folder per class, or a table"):
        Vision(fetch=ImageFetch(path=str(pictures))).check_head()
    with pytest.raises(UserError, match="holds 4 files but no sub-folders"):
        Vision(fetch=ImageFetch(path=str(pictures / "images"))).check_head()
    for path in (pictures / "images").iterdir():
        path.write_text("no picture")
    (pictures / "more").mkdir()
    (pictures / "more" / "a.png").write_text("none")
    with pytest.raises(UserError, match="none of 5 files looked at is an image"):
        Vision(fetch=ImageFetch(path=str(pictures))).check_head()


def test_notes_beside_pictures_are_left_out_and_that_is_said(pictures: Path) -> None:
    (pictures / "more").mkdir()
    (pictures / "more" / "9.png").write_bytes(encode_image(random_image(9)))
    for name in ("README.txt", "LICENSE", "more/9.xml"):
        (pictures / name).write_text("about")
    rows, said = load(pictures)
    assert rows["label"].tolist() == ["images"] * 4 + ["more"]
    assert said == ["left out, no images by their names: LICENSE, README.txt, more/9.xml"]


def test_a_file_that_is_no_picture_is_quoted_by_the_check_of_the_head(pictures: Path) -> None:
    (pictures / "more").mkdir()
    for place in (pictures / "images", pictures / "more"):
        for path in [*place.iterdir(), place / "a.heic"]:
            path.write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(UserError, match=r"begins with b'.*ftyp'\); save it as one of them"):
        Vision(fetch=ImageFetch(path=str(pictures))).check_head()
