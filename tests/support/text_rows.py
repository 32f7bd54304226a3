"""Rows of short texts, and the cleaning of one text, for tests."""

from typing import Any

import numpy as np
import pandas as pd

from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.use_case import Nlp

ANIMALS = [("the cat purrs and sleeps on the sofa", "cat"), ("the dog barks and runs in the yard", "dog")]


def clean_text(raw: Any, label: Any = "a", nlp: Any = None) -> Any:
    """The verdict on one text of a person's own."""
    nlp = nlp or Nlp(fetch=TextFetch(path="mine"))
    return nlp.clean_partition(pd.DataFrame({"text": [raw], "label": [label], "subset": "", "truth": ""})).iloc[0]


def animals(count: Any = 200) -> Any:
    """Rows of two classes that a few words tell apart."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        sentence, label = ANIMALS[number % 2]
        extra = " ".join(rng.choice(["today", "again", "loudly", "often", "here", "there"], 3))
        rows.append({"text": f"{sentence} {extra} {number}", "label": label, "subset": "", "truth": "", "split": "train"})
    return pd.DataFrame(rows)
