"""Random images, and the cleaning of one of them, for tests."""

import io
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tasks.use_cases.vision.settings import ImageFetch
from tasks.use_cases.vision.use_case import Vision


def random_image(seed: Any = 0, size: Any = (28, 28), mode: Any = "L") -> Any:
    """A smooth random picture: like a photograph it survives being packed as JPEG."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5) if mode == "L" else (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encode_image(image: Any, kind: Any = "PNG", **how: Any) -> Any:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def clean_image(data: Any, label: Any = "cat", vision: Any = None, usual: Any = (28, 28, 1)) -> Any:
    """The verdict on one picture of a person's own."""
    vision = vision or Vision(fetch=ImageFetch(path="mine"))
    sizes = dict(zip(("usual_height", "usual_width", "usual_channels"), usual, strict=True))
    row = pd.DataFrame({"image": [data], "label": [label], "subset": "", **sizes, "file": "a.png", "row": 0})
    return vision.clean_partition(row).iloc[0]
