"""Fixtures of the vision tests."""

from typing import Any

import pandas as pd
import pytest

from tasks.use_cases.vision.settings import ImageFetch
from tasks.use_cases.vision.use_case import Vision


@pytest.fixture(scope="module")
def digits() -> Any:
    rows = Vision().clean_partition(pd.concat(list(Vision(fetch=ImageFetch(limit=400)).load()), ignore_index=True))
    return rows.assign(file="f", row=range(len(rows)), split="train")
