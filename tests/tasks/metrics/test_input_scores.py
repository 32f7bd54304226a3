"""Unusual inputs have a higher score than usual ones, from a description of a few kilobytes."""

import json
from base64 import b64encode
from typing import Any

import numpy as np
import pytest

from tasks.metrics import input_scores
from tests.support import tiny_images


def bars(seed: int) -> Any:
    """Pictures of bright bars on dark noise, uint8 (300, 1, 8, 8)."""
    return np.stack([np.frombuffer(each, np.uint8).reshape(1, 8, 8) for each in tiny_images.rows(300, seed)["pixels"]])


def test_noise_and_inverted_pictures_are_unusual_and_other_pictures_of_the_kind_are_not() -> None:
    fitted = input_scores.fit(bars(0), {})
    assert fitted is not None
    limit = np.quantile(input_scores.score(bars(1), fitted), 0.98)
    noise = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
    assert (input_scores.score(noise, fitted) > limit).mean() > 0.95
    assert (input_scores.score(255 - bars(2), fitted) > limit).all()
    assert (input_scores.score(bars(2), fitted) > limit).mean() < 0.06


def test_a_description_survives_json_and_is_small() -> None:
    fitted = input_scores.fit(np.random.default_rng(0).integers(0, 256, (200, 3, 32, 32), dtype=np.uint8), {})
    text = json.dumps(fitted)
    assert len(text) < 1200
    colours = np.random.default_rng(1).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    assert np.array_equal(input_scores.score(colours, json.loads(text)), input_scores.score(colours, fitted or {}))


def test_a_description_of_an_earlier_version_is_read() -> None:
    mean, axes = np.array([10, 20, 30, 40], "<f4"), np.array([[127, 0, 0, 0]], "i1")
    old = {"kind": "picture", "side": 2, "rest": 4.0}
    old |= {name: b64encode(values.tobytes()).decode() for name, values in (("mean", mean), ("axes", axes))}
    old |= {"variances": b64encode(np.array([25], "<f4").tobytes()).decode()}
    picture = np.array([[[[20, 20], [30, 44]]]], np.uint8)
    np.testing.assert_allclose(input_scores.score(picture, old), [10**2 / 25 + 4**2 / 4])


def test_a_damaged_description_is_named() -> None:
    fitted = input_scores.fit(bars(0), {})
    assert fitted is not None
    with pytest.raises(ValueError, match="damaged"):
        input_scores.score(bars(1), {**fitted, "axes": fitted["axes"][:-9]})


def test_the_score_of_a_picture_does_not_depend_on_the_others_in_its_batch() -> None:
    fitted, pictures = input_scores.fit(bars(0), {}), bars(1)
    assert fitted is not None
    np.testing.assert_allclose(input_scores.score(pictures[:1], fitted), input_scores.score(pictures, fitted)[:1], rtol=1e-12)


def test_average_pooling_of_any_size_keeps_the_mean_of_each_part() -> None:
    picture = np.arange(25, dtype=np.uint8).reshape(1, 1, 5, 5)
    np.testing.assert_allclose(input_scores.average_pool(picture, 2), [[3.0, 5.5, 15.5, 18.0]])


def test_a_table_is_unusual_by_the_share_of_columns_outside_of_their_range() -> None:
    train = np.array([[1, 10, 0], [2, 20, np.nan], [3, 30, 5]], np.float32)
    fitted = input_scores.fit(train, {})
    assert fitted is not None
    rows = np.array([[2, 20, 3], [2, 40, np.nan], [np.nan, 5, 9]], np.float32)
    np.testing.assert_allclose(input_scores.score(rows, fitted), [0, 1 / 3, 1])


@pytest.mark.parametrize(("vocabulary", "expected"), [("words", [0.5, 0.0, 1.0]), ("grams", [1 / 3, 1 / 4, 1.0])])
def test_a_text_is_unusual_by_its_unknown_tokens(vocabulary: str, expected: Any) -> None:
    tokens = np.array([[1, 7, 0], [3, 4, 5], [0, 0, 0]], np.int32)
    fitted = input_scores.fit(tokens, {"vocabulary": {"kind": vocabulary}})
    assert fitted is not None
    np.testing.assert_allclose(input_scores.score(tokens, fitted), expected)


def test_inputs_of_another_kind_have_no_score() -> None:
    assert input_scores.fit(np.zeros((4, 5, 3), np.float32), {}) is None
    assert input_scores.fit(np.zeros((4, 5), np.int64), {}) is None
    with pytest.raises(ValueError, match="'sound'"):
        input_scores.score(np.zeros((1, 1)), {"kind": "sound"})
