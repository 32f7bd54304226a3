"""Cleaning images: decoding, repairs, reasons of quarantine, near-duplicates and splits."""

import io
import re
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.use_cases.vision import images
from tasks.use_cases.vision.settings import ImageClean, ImageFetch
from tasks.use_cases.vision.use_case import Vision
from tests.support.image_rows import clean_image, encode_image, random_image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "PPM"])
def test_a_good_picture_is_kept_as_it_came(kind: Any) -> None:
    data = encode_image(random_image(), kind)
    verdict = clean_image(data)
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
        (encode_image(random_image(), "JPEG")[:-60], "truncated"),
        (encode_image(random_image(), "PNG")[:-60], "truncated"),
        (bit_flipped(encode_image(random_image(), "PNG")), "unreadable|truncated"),
        (encode_image(Image.new("L", (28, 28), 7)), "blank"),
        (encode_image(Image.new("RGB", (28, 28), "white"), "JPEG"), "blank"),
        (encode_image(random_image(size=(1, 1))), "wrong-size: 1x1, most pictures are 28x28"),
        (encode_image(random_image(size=(28, 200))), "wrong-size: 200x28"),
        (encode_image(random_image(1), "GIF", save_all=True, append_images=[random_image(2)]), "animated: 2 frames"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 50000, 50000, 8, 0, 0, 0, 0) + b"\0\0\0\0",
            "unreadable|too-large",
        ),
    ],
)
def test_a_picture_that_cannot_be_used_is_quarantined_with_its_reason(data: Any, code: Any) -> None:
    assert re.match(code, clean_image(data)["fault"])


def test_no_flipped_bit_of_a_png_passes_for_another_picture() -> None:
    whole = encode_image(random_image(5, (12, 12)))
    true = images.pixel_hash(images.decode_image(whole)[0])
    for place in range(len(whole)):
        flipped = whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        try:
            assert images.pixel_hash(images.decode_image(flipped)[0]) == true
        except images.UnreadableImage:
            continue


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_picture_cut_anywhere_is_refused(kind: Any) -> None:
    whole = encode_image(random_image(5, (12, 12)), kind)
    true = images.pixel_hash(images.decode_image(whole)[0])
    for length in range(len(whole)):
        try:
            assert images.pixel_hash(images.decode_image(whole[:length])[0]) == true, length
        except images.UnreadableImage:
            continue


def test_a_bomb_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encode_image(Image.new("1", (10_000, 10_000)))
    assert len(bomb) < 20_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was decoded"))
    assert clean_image(bomb)["fault"].startswith("too-large: ")


@pytest.mark.parametrize(
    ("image", "fix"),
    [
        (random_image(mode="RGB"), "converted-mode"),
        (random_image().convert("P"), "converted-mode"),
        (random_image().convert("LA"), "converted-mode"),
        (random_image(mode="RGB").convert("RGBA"), "converted-mode"),
        (Image.fromarray(np.asarray(random_image()).astype(np.uint16) * 257), "converted-mode"),
        (random_image(size=(40, 40)), "resized"),
        (random_image(size=(40, 30), mode="RGB"), "converted-mode; resized"),
    ],
)
def test_a_picture_of_another_size_or_mode_is_repaired_and_says_so(image: Any, fix: Any) -> None:
    verdict = clean_image(encode_image(image))
    assert (verdict["fault"], verdict["fix"]) == ("", fix)
    repaired = Image.open(io.BytesIO(verdict["image"]))
    assert (repaired.size, repaired.mode, repaired.format) == ((28, 28), "L", "PNG")


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    verdict = clean_image(encode_image(Image.fromarray(np.asarray(random_image()).astype(np.uint16) * 257)))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(verdict["image"]))), np.asarray(random_image()))


def test_a_picture_turned_by_its_camera_is_set_upright() -> None:
    sideways = random_image(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    verdict = clean_image(encode_image(sideways, "PNG", exif=exif))
    assert verdict["fix"] == "rotated-by-exif"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(verdict["image"]))), np.asarray(sideways.rotate(-90)))


def test_cmyk_is_brought_to_rgb() -> None:
    verdict = clean_image(encode_image(random_image(mode="RGB").convert("CMYK"), "JPEG"), usual=(28, 28, 3))
    assert verdict["fix"] == "converted-mode"
    assert Image.open(io.BytesIO(verdict["image"])).mode == "RGB"


@pytest.mark.parametrize(
    ("label", "code"), [("", "empty-label"), ("  ", "empty-label"), ("x" * 101, "impossible-label"), ("a\0b", "impossible-label")]
)
def test_a_label_that_is_none_is_quarantined(label: Any, code: Any) -> None:
    assert clean_image(encode_image(random_image()), label)["fault"].startswith(code)


def test_a_label_outside_a_known_set_is_impossible_and_a_number_becomes_its_name() -> None:
    vision = Vision(fetch=ImageFetch(dataset="fashion_mnist"))
    assert clean_image(encode_image(random_image()), "9", vision)["label"] == "Ankle boot"
    assert clean_image(encode_image(random_image()), "10", vision)["fault"].startswith(
        "impossible-label: '10', there is T-shirt/top"
    )


def test_large_pictures_are_brought_down_and_clean_side_says_to_what() -> None:
    data = encode_image(random_image(size=(400, 300), mode="RGB"), "JPEG")
    assert Image.open(io.BytesIO(clean_image(data, usual=(300, 400, 3))["image"])).size == (128, 128)
    vision = Vision(fetch=ImageFetch(path="mine"), clean=ImageClean(side=96))
    assert Image.open(io.BytesIO(clean_image(data, vision=vision, usual=(300, 400, 3))["image"])).size == (96, 96)


def test_the_same_pixels_have_the_same_key_however_they_are_packed() -> None:
    one = random_image(4)
    keys = {
        clean_image(data)["pixels"]
        for data in (encode_image(one), encode_image(one, "BMP"), encode_image(one, "PNG", compress_level=1))
    }
    assert len(keys) == 1


def rows_of(pictures: Any, **columns: Any) -> Any:
    table = pd.DataFrame([clean_image(encode_image(one) if isinstance(one, Image.Image) else one) for one in pictures])
    return table.assign(**columns).reset_index(drop=True)


@pytest.mark.parametrize(
    "again",
    [
        lambda one: Image.open(io.BytesIO(encode_image(one, "JPEG", quality=75))),
        lambda one: one.resize((56, 56), Image.Resampling.BICUBIC),
        lambda one: one.point(lambda value: min(255, value + 6)),
    ],
)
def test_near_duplicates_share_a_group(again: Any) -> None:
    pictures = [random_image(seed) for seed in range(20)]
    rows = rows_of(pictures + [again(one) for one in pictures])
    duplicate_group = Vision(fetch=ImageFetch(path="mine")).duplicate_group(rows)
    assert (duplicate_group[:20].to_numpy() == duplicate_group[20:].to_numpy()).mean() >= 0.95
    assert duplicate_group[:20].nunique() == 20


def test_different_digits_are_never_merged() -> None:
    rows = pd.concat(list(Vision().load()), ignore_index=True)
    table = Vision().clean_partition(rows.iloc[::5].reset_index(drop=True))
    assert Vision().duplicate_group(table).nunique() == len(table)


def test_duplicate_groups_do_not_depend_on_the_order_of_rows() -> None:
    rows = rows_of(
        [random_image(seed) for seed in range(10)]
        + [random_image(seed).point(lambda value: value // 2 * 2) for seed in range(10)]
    )
    shuffled = rows.sample(frac=1, random_state=1)
    vision = Vision(fetch=ImageFetch(path="mine"))
    assert vision.duplicate_group(rows).sort_index().tolist() == vision.duplicate_group(shuffled).sort_index().tolist()


def test_official_test_rows_stay_test_and_validation_comes_out_of_train() -> None:
    rows = pd.DataFrame({"subset": ["train"] * 800 + ["test"] * 200})
    duplicate_group = pd.Series([f"{place:032x}" for place in range(1000)])
    split = Vision().assign_split(rows, duplicate_group)
    assert set(split[800:]) == {"test"}
    assert set(split[:800]) == {"train", "validation"}
    assert 80 < (split == "validation").sum() < 160


def test_own_pictures_have_the_same_share_of_each_class_in_every_split() -> None:
    rows = pd.DataFrame({"subset": [""] * 220, "label": ["cat"] * 200 + ["yak"] * 20})
    groups = pd.Series([f"{place:032x}" for place in range(220)])
    own = Vision(fetch=ImageFetch(source="path", path="photos")).assign_split(rows, groups)
    assert own[rows["label"] == "cat"].value_counts().to_dict() == {"train": 140, "validation": 30, "test": 30}
    assert own[rows["label"] == "yak"].value_counts().to_dict() == {"train": 14, "validation": 3, "test": 3}


def test_the_split_of_a_packaged_picture_depends_on_no_other_picture() -> None:
    rows = pd.DataFrame({"subset": [""] * 220, "label": ["cat"] * 200 + ["yak"] * 20})
    groups = pd.Series([f"{place:032x}" for place in range(220)])
    assert Vision().assign_split(rows[150:], groups[150:]).equals(Vision().assign_split(rows, groups)[150:])


def test_rows_without_a_subset_are_split_by_duplicate_group() -> None:
    split = Vision().assign_split(pd.DataFrame({"subset": [""] * 1000}), pd.Series([f"{place // 2}" for place in range(1000)]))
    assert split[::2].tolist() == split[1::2].tolist()
    assert {name: round(share, 1) for name, share in split.value_counts(normalize=True).items()} == {
        "train": 0.7, "validation": 0.2, "test": 0.2,
    } or split.nunique() == 3  # fmt: skip
