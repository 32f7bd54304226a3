"""Statistics of rows as a model sees them: few numbers and categories that say what changes when inputs change."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.inference.released_model import Block, ReleasedModel
from tasks.metrics import input_scores, uncertainty
from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

KNOWN_WORDS, KNOWN_TRIGRAMS = 5000, 3000
RECENT_STEPS = 5
"""Steps at the end of a window that are averaged."""
TEXT_CHARACTERS = 2000
"""Of a longer text the beginning is measured."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What some statistics compare with, fitted on reference rows: plain JSON values."""

    values: Mapping[str, Any]


def fit_profile(model: ReleasedModel, blocks: Sequence[Block]) -> Profile:
    """The words and letters of texts, and a Gaussian of coarse pictures; tables need none."""
    if model.kind == "text":
        texts = [str(text)[:TEXT_CHARACTERS] for block in blocks for text in block.rows["text"]]
        frequent = Counter(word.lower() for text in texts for word in words(text))
        trigrams = Counter(gram for text in texts for gram in _trigrams(text))
        total = sum(trigrams.values())
        return Profile(
            {
                "words": sorted(word for word, _ in frequent.most_common(KNOWN_WORDS)),
                "trigrams": {gram: float(np.log2(total / count)) for gram, count in sorted(trigrams.most_common(KNOWN_TRIGRAMS))},
                "rare_bits": float(np.log2(total) + 1),
            }
        )
    if model.kind == "picture":
        return Profile({"picture": input_scores.fit(np.concatenate([block.inputs for block in blocks]), model.model.state)})
    return Profile({})


def row_statistics(model: ReleasedModel, block: Block, profile: Profile | None) -> DataFrame:
    """The statistics of N rows: floats (NaN where there is none) and text, in columns named for what they measure.

    Without a profile, those that need one are left out.
    """
    import pandas as pd

    compute = {"picture": _picture, "text": _text, "table": _table}[model.kind]
    columns = compute(model, block, profile)
    outputs = np.asarray(block.outputs, np.float64).reshape(len(block.rows), -1)
    if model.model.uncertainty and outputs.shape[1] > 1 and np.isfinite(outputs).all():
        columns["energy"] = uncertainty.energy(block.outputs)
    return pd.DataFrame(columns, index=range(len(block.rows)))


def measure_inputs(model: ReleasedModel, blocks: Sequence[Block], profile: Profile | None) -> DataFrame:
    """The statistics of the rows of all blocks, in their order; small blocks of equal shape are measured together."""
    import pandas as pd

    shapes = {(block.inputs.shape[1:], block.outputs.shape[1:]) for block in blocks}
    if len(shapes) == 1:
        whole = Block(
            pd.concat([block.rows for block in blocks], ignore_index=True),
            np.concatenate([block.inputs for block in blocks]),
            np.concatenate([block.outputs for block in blocks]),
            pd.DataFrame(),
        )
        return row_statistics(model, whole, profile)
    return pd.concat([row_statistics(model, block, profile) for block in blocks], ignore_index=True)


def answer_statistics(answers: DataFrame) -> DataFrame:
    """The statistics of N answers: what was predicted, with which confidence, and whether the model abstained."""
    names = {"predicted": "predicted", "confidence": "confidence", "abstains": "abstains", "value": "value", "variance": "value"}
    columns = {new: answers[old] for old, new in names.items() if old in answers}
    if "predicted" in columns and columns["predicted"].map(type).ne(str).any():
        del columns["predicted"]  # a list per row, such as the entities of a text
    import pandas as pd

    return pd.DataFrame(columns).reset_index(drop=True)


def _picture(model: ReleasedModel, block: Block, profile: Profile | None) -> dict[str, Any]:
    """Of pictures (N, C, H, W) with values 0..255: all as shares of the range."""
    pixels = np.asarray(block.inputs, np.float64) / 255
    grey = pixels.mean(1)
    edge = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], 1).mean(1)
    steps = [np.abs(np.diff(grey, axis=axis)).mean((1, 2)) for axis in (1, 2) if grey.shape[axis] > 1]
    columns: dict[str, Any] = {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "polarity": edge - grey.mean((1, 2)),
        "sharpness": np.mean(steps, 0) if steps else np.zeros(len(grey)),
    }
    if pixels.shape[1] > 1:
        columns["colour"] = pixels.std(1).mean((1, 2))
    if profile and profile.values.get("picture"):
        columns["distance"] = input_scores.score(block.inputs, profile.values["picture"])
    return columns


def _text(model: ReleasedModel, block: Block, profile: Profile | None) -> dict[str, Any]:
    texts = [str(text)[:TEXT_CHARACTERS] for text in block.rows["text"]]
    columns: dict[str, Any] = {
        "characters": [float(len(text)) for text in texts],
        "share of letters": [_share(text, str.isalpha) for text in texts],
        "share of capitals": [_share(text, str.isupper) for text in texts],
        "share of digits": [_share(text, str.isdigit) for text in texts],
        "script": [_script(text) for text in texts],
    }
    if profile:
        frequent, bits, rare = set(profile.values["words"]), profile.values["trigrams"], profile.values["rare_bits"]
        own_words = [[word.lower() for word in words(text)] for text in texts]
        columns["share of unknown words"] = [_mean([float(word not in frequent) for word in own]) for own in own_words]
        columns["bits per letter"] = [_mean([bits.get(gram, rare) for gram in _trigrams(text)]) for text in texts]
    return columns


def _table(model: ReleasedModel, block: Block, profile: Profile | None) -> dict[str, Any]:
    """The columns that the model reads; of a series the recent mean of each of its inputs."""
    state, rows = model.model.state, block.rows
    if "numbers" in state and "categories" in state:
        columns: dict[str, Any] = {}
        for name in dict.fromkeys([*state["numbers"], *state["categories"]]):
            values = rows[name]
            is_number = values.dtype.kind == "f" and name not in state["categories"]
            columns[name] = values.to_numpy(np.float64) if is_number else values.map(_category).to_numpy(object)
        return columns
    inputs = np.asarray(block.inputs, np.float64)
    if inputs.ndim == 3:
        recent = inputs[:, -RECENT_STEPS:].mean(1)
        return {f"input {place} recently": recent[:, place - 1] for place in range(1, recent.shape[1] + 1)}
    return {}


def _category(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else f"{value:g}"
    return str(value) or None


def _share(text: str, counts: Callable[[str], bool]) -> float:
    return sum(map(counts, text)) / max(len(text), 1)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _trigrams(text: str) -> list[str]:
    """Three characters in a row, in lower case, with a space at both ends."""
    padded = f" {text.lower()} "
    return [padded[at : at + 3] for at in range(len(padded) - 2)]


def _script(text: str) -> str:
    """The script of most letters, by the first word of their Unicode names, such as LATIN; empty without letters."""
    names = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in text[:200] if letter.isalpha())
    return names.most_common(1)[0][0] if names else ""
