"""Corruptions of images: what each changes, and that it changes nothing else."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.use_cases.vision import corruptions, images
from tests.support.image_rows import encode_image, random_image

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 1, 20, 20), dtype=np.uint8)


def generator() -> Any:
    return np.random.default_rng(1)


def test_noise_has_the_standard_deviation_it_names() -> None:
    grey = np.full((20, 3, 16, 16), 128, np.uint8)
    difference = corruptions.add_noise(grey, generator(), 0.08).astype(float) - 128
    assert difference.std() == pytest.approx(255 * 0.08, rel=0.05)
    assert abs(difference.mean()) < 1


def test_blur_spreads_a_point_and_keeps_its_channel() -> None:
    point = np.zeros((1, 3, 21, 21), np.uint8)
    point[0, 1, 10, 10] = 255
    blurred = corruptions.blur(point, generator(), 0.05)
    assert 0 < blurred[0, 1, 10, 11] < blurred[0, 1, 10, 10] < 255
    assert blurred[0, [0, 2]].max() == 0


def test_less_contrast_keeps_the_mean_and_shrinks_the_differences() -> None:
    flat = corruptions.reduce_contrast(IMAGES, generator(), 0.4)
    assert flat.mean() == pytest.approx(IMAGES.mean(), abs=0.5)
    assert flat.std() == pytest.approx(0.4 * IMAGES.std(), rel=0.05)


def test_a_shift_moves_by_a_tenth_of_the_side_and_repeats_the_border() -> None:
    moved = corruptions.shift(IMAGES, generator(), 0.1)
    for before, after in zip(IMAGES[:, 0], moved[:, 0], strict=True):
        padded = np.pad(before, 2, mode="edge")
        candidates = [padded[y : y + 20, x : x + 20] for y in (0, 4) for x in (0, 4)]
        assert any(np.array_equal(after, candidate) for candidate in candidates)


def test_polarity_inverted_twice_is_the_image() -> None:
    once = corruptions.invert(IMAGES, generator())
    assert np.array_equal(corruptions.invert(once, generator()), IMAGES)
    assert once[0, 0, 0, 0] == 255 - IMAGES[0, 0, 0, 0]


@pytest.mark.parametrize("corruption", corruptions.corruptions(), ids=lambda one: f"{one.name} {one.severity}")
@pytest.mark.parametrize("channels", [1, 3])
def test_every_corruption_changes_the_image_and_nothing_else_of_a_row(corruption: Any, channels: int) -> None:
    pictures = RNG.integers(0, 256, (4, channels, 12, 12), dtype=np.uint8)
    rows = pd.DataFrame(
        {"image": [images.encode_png(picture) for picture in pictures], "label": list("abab")}, index=[3, 5, 7, 9]
    )
    changed = corruption.apply(rows, generator())
    pd.testing.assert_series_equal(changed["label"], rows["label"])
    decoded = images.decode_batch(changed["image"], 12, channels)
    assert decoded.shape == pictures.shape
    assert (decoded != pictures).any((1, 2, 3)).all()


def test_each_corruption_but_polarity_has_two_severities_and_the_second_is_stronger() -> None:
    smooth = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (20, 1))[None, None].repeat(4, 0)
    rows = pd.DataFrame({"image": [images.encode_png(picture) for picture in smooth]})
    change: dict[str, list[float]] = {}
    for corruption in corruptions.corruptions():
        decoded = images.decode_batch(corruption.apply(rows, generator())["image"], 20, 1)
        change.setdefault(corruption.name, []).append(float(np.abs(decoded.astype(float) - smooth).mean()))
    assert {name: len(values) for name, values in change.items()} == {
        "noise": 2,
        "blur": 2,
        "contrast": 2,
        "shift": 2,
        "inverted polarity": 1,
    }
    assert all(values[0] < values[1] for values in change.values() if len(values) == 2)


@pytest.mark.parametrize(
    "corruption", corruptions.corruptions(), ids=lambda corruption: f"{corruption.name} {corruption.severity}"
)
def test_rows_changed_in_blocks_are_those_changed_at_once(corruption: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"image": [encode_image(random_image(seed, (16, 16), "RGB")) for seed in range(7)]})
    whole = corruption.apply(rows, np.random.default_rng(5))
    monkeypatch.setattr(corruptions, "BLOCK_VALUES", 3 * 16 * 16 * 3)
    assert corruption.apply(rows, np.random.default_rng(5))["image"].tolist() == whole["image"].tolist()
