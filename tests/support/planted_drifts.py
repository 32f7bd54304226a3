"""Five changes of what a model is asked, each as it happens to people, planted into clean rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tasks.inference.released_model import ReleasedModel
from tasks.monitoring.drift import DriftTest
from tasks.monitoring.reference import Reference, measure_blocks
from tasks.use_cases.finance import ohlc_bars

ALPHA = 0.01
REQUESTS = 500
SHARE = 0.3
"""Share of the requests that a new class or another language makes."""
SENTENCES = (
    "Der {} wurde am {} von den {} deutlich verändert.",
    "Neue {} bringen {} vor {}.",
    "Wie man {} und {} mit {} besser macht.",
    "Les {} et les {} ont changé avec les {}.",
    "La question des {} reste ouverte malgré les {} et les {}.",
)
NOUNS = (
    "Preise",
    "Wurzeln",
    "Gärten",
    "Trainer",
    "Märkte",
    "Schatten",
    "Blätter",
    "Verluste",
    "Klassen",
    "Funktionen",
    "jardins",
    "marchés",
    "équipes",
    "feuilles",
    "années",
    "fonctions",
)


@dataclass(frozen=True, slots=True)
class Drift:
    """A planted change: which use case it is of, and rows like those given but changed."""

    name: str
    use_case: str
    change: Callable[[pd.DataFrame, np.random.Generator, ReleasedModel], pd.DataFrame]


def new_class(rows: pd.DataFrame, generator: np.random.Generator, model: ReleasedModel) -> pd.DataFrame:
    """Letters among the digits."""
    letters = [letter_like(content, "ABEFHKRX"[int(generator.integers(8))]) for content in rows["image"]]
    return rows.assign(image=_some(rows["image"], letters, generator))


def inverted_pictures(rows: pd.DataFrame, generator: np.random.Generator, model: ReleasedModel) -> pd.DataFrame:
    """Dark on light instead of light on dark."""
    return rows.assign(image=[_png(ImageOps.invert(_open(content))) for content in rows["image"]])


def shifted_column(rows: pd.DataFrame, generator: np.random.Generator, model: ReleasedModel) -> pd.DataFrame:
    """A number in another unit: one and a half times what it was."""
    name = next(name for name in model.model.state["numbers"] if rows[name].nunique() > 20)
    return rows.assign(**{name: rows[name] * 1.5})


def other_language(rows: pd.DataFrame, generator: np.random.Generator, model: ReleasedModel) -> pd.DataFrame:
    """German and French sentences among the others."""
    sentences = [
        SENTENCES[int(generator.integers(len(SENTENCES)))].format(*generator.choice(NOUNS, 3, replace=False))
        for _ in range(len(rows))
    ]
    return rows.assign(text=_some(rows["text"], sentences, generator))


def regime_change(rows: pd.DataFrame, generator: np.random.Generator, model: ReleasedModel) -> pd.DataFrame:
    """Prices that move half as much again, the ranges of the days included."""
    return rows.assign(past=[_louder(window) for window in rows["past"]])


DRIFTS = (
    Drift("new class", "vision", new_class),
    Drift("inverted pictures", "vision", inverted_pictures),
    Drift("shifted column", "credit", shifted_column),
    Drift("other language", "nlp", other_language),
    Drift("regime change", "finance", regime_change),
)


def statistics_of(model: ReleasedModel, rows: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """What the request log would hold of these rows."""
    return measure_blocks(model, model.blocks(rows.reset_index(drop=True)), reference.profile)


def requests_until_found(test: DriftTest, statistics: pd.DataFrame) -> tuple[int | None, str]:
    """After how many requests the first statistic raises an alarm, and which; None if there is none."""
    evidence = test.update(statistics)
    reached = np.flatnonzero((evidence >= test.threshold(ALPHA)).any(1))
    if not len(reached):
        return None, ""
    return int(reached[0]) + 1, test.names[int(evidence[reached[0]].argmax())]


def letter_like(content: bytes, letter: str) -> bytes:
    """A letter, drawn light on dark in a picture of the same size."""
    side = _open(content).width
    picture = Image.new("L", (side, side), 0)
    font = ImageFont.load_default(size=0.8 * side)
    ImageDraw.Draw(picture).text((side / 2, side / 2), letter, fill=255, font=font, anchor="mm")
    return _png(picture)


def _louder(window: Any) -> Any:
    """A flattened window of days whose moves are half as large again."""
    days = np.array(window, np.float32).reshape(-1, len(ohlc_bars.BAR_FIELDS))
    days[:, [ohlc_bars.GAP, ohlc_bars.HIGH, ohlc_bars.LOW, ohlc_bars.INTRADAY]] *= 1.5
    return days.ravel()


def _some(column: Sequence[Any], others: Sequence[Any], generator: np.random.Generator) -> list[Any]:
    taken = generator.random(len(others)) < SHARE
    return [other if is_taken else own for own, other, is_taken in zip(column, others, taken, strict=True)]


def _open(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content)).convert("L")


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
