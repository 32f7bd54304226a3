"""Pictures and labels of .npz files are found by their names, in any layout of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data.array_files import read_pictures
from tasks.use_cases.vision import images
from tasks.use_cases.vision.settings import ImageFetch
from tasks.use_cases.vision.use_case import Vision

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def load(path: Path, **arrays: Any) -> Any:
    np.savez(path, **arrays)
    case = Vision(fetch=ImageFetch(path=str(path)))
    case.check_head()
    return pd.concat(list(case.load()), ignore_index=True)


def test_keras_and_others_name_splits_and_pictures(tmp_path: Path) -> None:
    for first, second in (("x_{}", "y_{}"), ("{}_images", "{}_labels")):
        arrays = {first.format("train"): PIXELS[:4], second.format("train"): LABELS[:4]}
        arrays |= {first.format("test"): PIXELS[4:], second.format("test"): LABELS[4:, None]}
        rows = load(tmp_path / "my.npz", **arrays)
        assert rows["subset"].tolist() == ["train"] * 4 + ["test"] * 2
        assert rows["label"].tolist() == ["0", "1"] * 3
        assert np.array_equal(images.decode_batch(rows["image"], 8, 3), np.moveaxis(PIXELS, -1, 1))


@pytest.mark.parametrize(
    "pixels", [PIXELS[..., 0], PIXELS[..., :1], PIXELS[:, None, :, :, 0], PIXELS[..., 0] / 255, PIXELS[..., 0].astype(np.int64)]
)
def test_any_layout_of_grey_pictures_has_the_same_pixels(tmp_path: Path, pixels: Any) -> None:
    rows = load(tmp_path / "my.npz", images=pixels, labels=LABELS)
    assert np.array_equal(images.decode_batch(rows["image"], 8, 1)[:, 0], PIXELS[..., 0])


def test_one_hot_labels_are_the_places_of_their_ones(tmp_path: Path) -> None:
    rows = load(tmp_path / "my.npz", x=PIXELS, y=np.eye(3)[[0, 2, 1, 2, 0, 1]])
    assert rows["label"].tolist() == ["0", "2", "1", "2", "0", "1"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": PIXELS}, r"holds a \(6, 8, 8, 3\); expected pictures and their labels, such as x_train and y_train"),
        ({"x": PIXELS, "y": LABELS[:5]}, "do not match; expected one label each"),
        ({"x": PIXELS[..., :2], "y": LABELS}, r"expected \(N, H, W\) or \(N, H, W, 3\)"),
        ({"x": PIXELS * -1.0, "y": LABELS}, "expected pixels from 0 to 255, or from 0 to 1"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: Any, words: str) -> None:
    np.savez(tmp_path / "my.npz", **arrays)
    with pytest.raises(UserError, match=words):
        read_pictures(tmp_path / "my.npz")


def test_an_archive_of_pictures_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "my.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"my.zip is an archive; unpack it and name the folder"):
        Vision(fetch=ImageFetch(path=str(tmp_path / "my.zip"))).check_head()
