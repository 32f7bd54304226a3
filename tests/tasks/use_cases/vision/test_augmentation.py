"""Batch augmentation of images, and its preview."""

from typing import Any

import numpy as np
import pytest
import torch

from tasks.use_cases.vision import augmentation, images
from tasks.use_cases.vision.settings import ImageAugment, ImageFetch
from tasks.use_cases.vision.use_case import Vision

RNG = np.random.default_rng(0)


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
def test_a_policy_keeps_shape_and_range_and_one_half_moves_nothing(policy: Any, channels: Any) -> None:
    inputs = torch.from_numpy(RNG.integers(0, 256, (16, channels, 20, 20), dtype=np.uint8))
    varied = policy(inputs, torch.rand(16, images.UNIFORMS_PER_IMAGE, generator=torch.Generator().manual_seed(1))).float()
    assert varied.shape == inputs.shape
    assert varied.min() >= 0
    assert varied.max() <= 255.01
    still = policy(inputs, torch.full((16, images.UNIFORMS_PER_IMAGE), 0.5)).float()
    assert torch.allclose(still, inputs.float(), atol=0.01)
    if channels == 3 or policy.colour == 0:
        assert not torch.allclose(varied, inputs.float(), atol=1)


def test_the_same_numbers_give_the_same_pictures_row_by_row() -> None:
    policy = augmentation.BatchAugmentation(shift=0.1, rotate_degrees=20, scale=0.2, flip=True, cutout=0.3)
    inputs, numbers = torch.rand(8, 1, 20, 20) * 255, torch.rand(8, images.UNIFORMS_PER_IMAGE)
    assert torch.equal(policy(inputs, numbers)[3:4], policy(inputs[3:4], numbers[3:4]))


def test_a_whole_pixel_shift_moves_the_picture_and_brings_in_black() -> None:
    inputs = torch.arange(1, 26, dtype=torch.uint8).view(1, 1, 5, 5)
    numbers = torch.full((1, images.UNIFORMS_PER_IMAGE), 0.5)
    numbers[0, 4] = 0.99
    moved = augmentation.BatchAugmentation(shift=0.2)(inputs, numbers)
    assert moved[0, 0, :4].tolist() == inputs[0, 0, 1:].tolist()
    assert moved[0, 0, 4].tolist() == [0] * 5


def test_a_cut_out_square_is_as_large_as_set() -> None:
    varied = augmentation.BatchAugmentation(cutout=0.5)(
        torch.full((1, 1, 20, 20), 9.0), torch.full((1, images.UNIFORMS_PER_IMAGE), 0.5)
    )
    assert (varied == 0).sum() == 100


def test_digits_are_never_mirrored_unless_set() -> None:
    assert not Vision().batch_augmentation().flip
    assert Vision(fetch=ImageFetch(dataset="cifar10")).batch_augmentation().flip
    assert not Vision(fetch=ImageFetch(path="mine")).batch_augmentation().flip
    assert Vision(fetch=ImageFetch(path="mine"), augment=ImageAugment(flip="sideways")).batch_augmentation().flip
    still = ImageAugment(shift=0, rotate_degrees=0, scale=0, shear=0, cutout=0, colour=0)
    assert Vision(augment=still).batch_augmentation() is None


def test_a_preview_shows_originals_beside_variants(digits: Any) -> None:
    preview = Vision().preview_augmentation(digits, 7)
    assert preview.groupby("original").size().eq(6).all()
    assert set(preview["label"]) == set("0123456789")
    first = preview[preview["variant"] == 0]
    assert set(first["image"]) <= set(digits["image"])
    assert Vision().preview_augmentation(digits, 7).equals(preview)
    assert not Vision().preview_augmentation(digits, 8).equals(preview)
