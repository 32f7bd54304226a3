"""Near-duplicates: pale pictures, many equal ones, and what they cost."""

import io
import time
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tasks.use_cases.vision.near_duplicates import near_duplicate_groups, thumbnail
from tests.support.image_rows import encode_image, random_image


def pale_picture(seed: int) -> Image.Image:
    """A small dent, scratch or stain on an even grey ground."""
    generator = np.random.default_rng(seed)
    image = Image.fromarray((200 + generator.normal(0, 3, (64, 64))).clip(0, 255).astype(np.uint8))
    draw, (x, y) = ImageDraw.Draw(image), generator.integers(8, 50, 2).tolist()
    (
        lambda: draw.ellipse((x, y, x + 7, y + 7), fill=180),
        lambda: draw.line((x, y, x + 10, y + 6), fill=150),
        lambda: draw.rectangle((x, y, x + 6, y + 6), fill=185),
    )[seed % 3]()
    return image


def again(image: Image.Image, **how: Any) -> Image.Image:
    return Image.open(io.BytesIO(encode_image(image, "JPEG", **how)))


def test_pale_pictures_of_different_things_are_no_group_and_the_same_one_packed_again_is() -> None:
    pictures = [pale_picture(seed) for seed in range(300)]
    looks = [thumbnail(picture) for picture in [*pictures, *(again(picture, quality=90) for picture in pictures)]]
    groups = near_duplicate_groups(looks, 3.5)
    assert len(set(groups[:300].tolist())) >= 295
    assert (groups[:300] == groups[300:]).mean() >= 0.95


def test_a_group_is_named_by_its_first_member_and_equal_pictures_cost_nothing() -> None:
    first, second = thumbnail(random_image(1)), thumbnail(random_image(2))
    started = time.process_time()
    groups = near_duplicate_groups([second, first, *[second, first] * 50_000], 3.5)
    assert time.process_time() - started < 5
    assert groups.tolist() == [0, 1] * 50_001


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    base = np.asarray(random_image(3, (12, 12))).astype(int)
    looks = [np.clip(base + step * np.linspace(-1, 1, 12), 0, 255).astype(np.uint8).tobytes().hex() for step in range(0, 30, 2)]
    other = thumbnail(random_image(4))
    assert near_duplicate_groups([other, *looks], 3.5).tolist() == [0] + [1] * len(looks)


def test_nothing_is_alike_where_nothing_may_differ() -> None:
    looks = [thumbnail(random_image(seed)) for seed in range(5)]
    assert near_duplicate_groups(looks, 0.0).tolist() == list(range(5))
