"""Photos: what phones write, sizes, the square that is made of them, and the file that makes it itself."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tasks.compression import onnx_export
from tasks.core import onnx_model
from tasks.core.storage.file_backed import ByteStore, StoredBytes
from tasks.models.vision.cnn import Cnn
from tasks.use_cases.vision import images, pixel_input, resizing
from tasks.use_cases.vision.settings import ImageClean, ImageFetch
from tasks.use_cases.vision.use_case import Vision
from tests.support.image_rows import clean_image, encode_image, random_image


def exif(orientation: int = 1, *, damaged: bool = False) -> bytes:
    """The tags of a picture: its orientation and, if damaged, a comment that would lie beyond their end."""
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
    entries += [struct.pack("<HHII", 0x9286, 7, 60_000, 5_000)] if damaged else []
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"


OWN = Vision(fetch=ImageFetch(path="mine"))


def opened(row: Any) -> Image.Image:
    return Image.open(io.BytesIO(row["image"]))


def test_the_first_picture_of_a_phones_file_of_several_is_taken_as_viewers_show_it() -> None:
    first, depth = random_image(1, mode="RGB"), random_image(2, mode="RGB")
    data = encode_image(first, "MPO", save_all=True, append_images=[depth])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    row = clean_image(data, usual=(28, 28, 3))
    assert (row["fault"], row["fix"], row["image"]) == ("", "", data)
    only = clean_image(encode_image(first, "JPEG"), usual=(28, 28, 3))
    assert row["pixels"] == only["pixels"]


@pytest.mark.parametrize("side", [28, 20])
def test_a_damaged_tag_costs_no_picture_and_is_remarked(side: int) -> None:
    data = encode_image(random_image(3), "JPEG", exif=exif(damaged=True))
    row = clean_image(data, usual=(side, side, 1))
    whole = clean_image(encode_image(random_image(3), "JPEG"), usual=(side, side, 1))
    assert row["fault"] == ""
    assert row["fix"] == "; ".join(filter(None, ["seen damaged-metadata", "resized" * (side == 20)]))
    assert row["pixels"] == whole["pixels"]
    assert (row["image"] == data) == (side == 28)


def test_tags_that_are_no_tags_cost_no_picture_either() -> None:
    row = clean_image(encode_image(random_image(3), "JPEG", exif=b"Exif\0\0nothing at all"))
    assert row["fault"] == ""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("damaged", [False, True])
def test_every_turn_of_a_camera_is_undone_even_beside_a_damaged_tag(orientation: int, damaged: bool) -> None:
    upright = random_image(4, (40, 30))
    turned = {
        1: upright, 2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 3: upright.rotate(180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.rotate(90, expand=True), 7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.rotate(-90, expand=True),
    }[orientation]  # fmt: skip
    image, _ = images.decode_image(encode_image(turned, "PNG", exif=exif(orientation, damaged=damaged)))
    assert np.array_equal(np.asarray(image), np.asarray(upright))


@pytest.mark.parametrize(
    ("height", "width", "chosen", "expected"),
    [
        (28, 28, {}, (28, "pad")),
        (64, 48, {}, (64, "pad")),
        (65, 80, {}, (65, "crop")),
        (375, 500, {}, (128, "crop")),
        (375, 500, {"side": 224}, (224, "crop")),
        (375, 500, {"fit": "pad"}, (128, "pad")),
        (28, 20, {"fit": "crop", "side": 320}, (320, "crop")),
    ],
)
def test_small_pictures_keep_their_size_and_photos_get_a_side_at_which_things_are_seen(
    height: int, width: int, chosen: Any, expected: Any
) -> None:
    assert Vision(fetch=ImageFetch(path="mine"), clean=ImageClean(**chosen)).square(height, width) == expected


def test_a_crop_is_the_middle_and_padding_is_black_and_both_keep_proportions() -> None:
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (100, 0, 200, 100))
    middle, notes = images.fit_square(picture, 50, "RGB", "crop")
    assert notes == ["cropped", "resized"]
    assert set(middle.get_flattened_data()) == {(255, 0, 0)}
    padded, notes = images.fit_square(picture, 60, "RGB", "pad")
    assert notes == ["resized"]
    rows = np.asarray(padded)
    assert rows.shape == (60, 60, 3)
    assert (rows[:20] == 0).all()
    assert (rows[40:] == 0).all()
    assert np.array_equal(rows[30, [5, 30, 55]], [(255, 255, 255), (255, 0, 0), (255, 255, 255)])


def test_the_reduction_is_that_of_pillow_but_for_the_rounding_of_a_few_values() -> None:
    for seed, (size, side) in enumerate([((500, 375), 224), ((90, 90), 160), ((33, 211), 64)]):
        picture = random_image(seed, size, "RGB")
        expected = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)).astype(int)
        difference = np.abs(resizing.resize(np.asarray(picture), side, side) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.05


def test_the_rows_say_how_their_source_was_made_square_and_the_model_does_the_same() -> None:
    photo = clean_image(encode_image(random_image(1, (300, 200), "RGB"), "JPEG"), usual=(200, 300, 3)).to_frame().T
    other = photo.assign(label="dog")
    state = OWN.fit_preprocessing(pd.concat([photo, other]))
    assert (state["fit"], state["side"], state["channels"]) == ("crop", 128, 3)
    raw = photo.assign(image=[encode_image(random_image(1, (300, 200), "RGB"), "JPEG")])
    assert np.array_equal(OWN.encode(raw, state)[0], OWN.encode(photo, state)[0])
    digit = clean_image(encode_image(random_image(1))).to_frame().T
    assert "fit" not in OWN.fit_preprocessing(digit)


def test_moments_are_those_of_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.use_cases.vision import pixel_moments

    monkeypatch.setattr(pixel_moments, "MOMENT_BLOCK", 3)
    rows = [clean_image(encode_image(random_image(seed, mode="RGB")), usual=(28, 28, 3)) for seed in range(7)]
    frame = pd.DataFrame(rows).assign(label=list("abababa"))
    state = OWN.fit_preprocessing(frame)
    pixels, _ = OWN.encode(frame, state)
    assert state["mean"] == pytest.approx((pixels / 255).mean((0, 2, 3)), abs=1e-6)
    assert state["std"] == pytest.approx((pixels / 255).std((0, 2, 3)), abs=1e-6)


def test_a_large_jpeg_is_decoded_small_only_on_request() -> None:
    data = encode_image(random_image(5, (1600, 1200), "RGB"), "JPEG", quality=95)
    assert images.decode_image(data)[0].size == (1600, 1200)
    assert images.decode_image(data, 128)[0].size == (800, 600)
    assert images.decode_image(data, 224)[0].size == (1600, 1200)
    usual, fetch = (1200, 1600, 3), ImageFetch(path="mine")
    whole, shrunk = (
        clean_image(data, vision=Vision(fetch=fetch, clean=ImageClean(shrink_on_load=on)), usual=usual) for on in (False, True)
    )
    assert whole["fix"] == shrunk["fix"] == "cropped; resized"
    difference = np.asarray(opened(whole)).astype(int) - np.asarray(opened(shrunk))
    assert 0 < np.abs(difference).mean() < 1


def files_of(channels: int, fit: str, side: int = 48, seed: int = 0) -> tuple[bytes, bytes, Any]:
    """A network's file, the same for pictures of any size, and its preprocessing state."""
    torch.manual_seed(seed)
    shape: Any = {"channels": channels, "side": side, "mean": [0.5] * channels, "std": [0.25] * channels}
    state = {**shape, "classes": list("abcde"), **({"fit": fit} if fit == "crop" else {})}
    network = Cnn(**shape, classes=5, widths=(8, 8, 8))
    content = onnx_export.to_onnx(network, np.zeros((2, channels, side, side), np.uint8), state, "vision")
    files = Vision().release_files(content, state)
    assert list(files) == ["pixels.onnx"]
    return content, files["pixels.onnx"], state


def probabilities(logits: Any) -> Any:
    odds = np.exp(logits.astype(np.float64))
    return odds / odds.sum(-1, keepdims=True)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_file_fed_raw_pixels_answers_as_the_path_of_training_from_the_jpeg_on(channels: int, fit: str) -> None:
    content, pixels, state = files_of(channels, fit)
    vision = Vision(fetch=ImageFetch(path="mine"), clean=ImageClean(side=48, fit=fit))
    session = onnx_model.create_session(pixels)
    for seed, size in enumerate([(140, 100), (33, 90), (48, 48), (47, 49), (500, 375), (61, 200), (100, 100)]):
        data = encode_image(random_image(seed, size, "RGB"), "JPEG")
        row = clean_image(data, vision=vision, usual=(100, 140, channels)).to_frame().T.assign(label="a")
        assert row["fault"].item() == ""
        encoded, _ = vision.encode(row, state)
        raw = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[None]
        logits, square = session.run(None, {"pixels": raw})
        assert np.array_equal(square, encoded)
        assert probabilities(logits) == pytest.approx(probabilities(onnx_model.predict(content, encoded)), abs=1e-6)


def test_a_file_fed_raw_pixels_keeps_its_metadata_and_takes_several_pictures_of_one_size() -> None:
    content, pixels, _ = files_of(3, "crop")
    given, kept = (onnx_model.read_metadata(onnx_model.from_bytes(each)) for each in (content, pixels))
    assert kept == given
    pictures = np.stack([np.asarray(random_image(seed, (70, 90), "RGB")) for seed in range(3)])
    session = onnx_model.create_session(pixels)
    together = session.run(None, {"pixels": pictures})[0]
    apart = [session.run(None, {"pixels": picture[None]})[0][0] for picture in pictures]
    assert together == pytest.approx(np.stack(apart), abs=1e-5)


def test_a_file_that_answers_differently_is_not_released() -> None:
    content, _, state = files_of(3, "crop")
    _, wrong, _ = files_of(3, "crop", seed=1)
    with pytest.raises(RuntimeError, match=r"fed a picture of 97x64 pixels, the file answers by .* 0\.001 is allowed"):
        pixel_input.check_pixel_input(content, wrong, state)


def test_a_picture_to_predict_is_made_square_as_those_of_training_were() -> None:
    photo = encode_image(random_image(1, (300, 200), "RGB"), "JPEG")
    clean = OWN.clean_partition(pd.DataFrame([clean_raw(photo, (64, 80, 3))]))
    state = OWN.fit_preprocessing(pd.concat([clean, clean.assign(label="dog")]))
    assert (state["side"], state["fit"]) == (64, "crop")
    predicted = OWN.clean_partition(OWN.unlabelled_rows([photo], state))
    assert predicted["pixels"].tolist() == clean["pixels"].tolist()


def clean_raw(data: bytes, usual: tuple[int, int, int]) -> dict[str, Any]:
    """A raw row of a picture, of a source whose most common picture has this height, width and number of channels."""
    sizes = dict(zip(("usual_height", "usual_width", "usual_channels"), usual, strict=True))
    return {"image": data, "label": "cat", "subset": "", **sizes, "file": "a.jpg", "row": 0}


def test_pictures_that_stay_in_a_file_are_encoded_and_corrupted_as_those_in_memory(tmp_path: Path) -> None:
    photos = [encode_image(random_image(seed, (90, 70), "RGB"), "JPEG") for seed in range(6)]
    rows = pd.concat([clean_image(photo, usual=(70, 90, 3)).to_frame().T for photo in photos], ignore_index=True)
    rows["label"] = list("ababab")
    stored = ByteStore(tmp_path).store(rows)
    assert type(stored["image"][0]) is StoredBytes
    state = OWN.fit_preprocessing(rows)
    assert OWN.fit_preprocessing(stored) == state
    for one, other in zip(OWN.encode(rows, state), OWN.encode(stored, state), strict=True):
        assert np.array_equal(one, other)
    for corruption in OWN.corruptions():
        changed = [corruption.apply(each, np.random.default_rng(1))["image"].tolist() for each in (rows, stored)]
        assert changed[0] == changed[1]
