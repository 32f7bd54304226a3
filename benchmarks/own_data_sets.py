"""Data sets as a person would bring them, for `own_data`: public ones as files, and five that are made here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.core import registry
from tasks.data.downloads import DATASETS_VARIABLE

Writer = Callable[[Path], dict[str, Any]]
"""Writes the files of a data set into a folder and returns the settings that name them."""
SEED = 0


@dataclass(frozen=True, slots=True)
class OwnData:
    """One data set: its use case, how its files come to be, and a bound on its rows for the sake of time (0: none)."""

    use_case: str
    write: Writer
    limit: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


def shared(*parts: str) -> Path:
    """A file or folder of the data sets that `BONSAI_DATASETS` names."""
    return Path(os.environ[DATASETS_VARIABLE], *parts)


def folder(*parts: str) -> Writer:
    return lambda place: {"fetch.path": str(shared(*parts))}


def texts(name: str) -> Writer:
    """A CSV file of a text data set by name, with its own splits if it has any."""

    def write(place: Path) -> dict[str, Any]:
        case = registry.build("use_cases", "nlp", {"fetch": {"dataset": name}})
        rows = pd.concat(list(case.load()), ignore_index=True)
        table = rows[["text", "label"]].assign(split=rows["subset"]) if rows["subset"].ne("").any() else rows[["text", "label"]]
        table.to_csv(place / "texts.csv", index=False)
        return {"fetch.path": str(place / "texts.csv")}

    return write


def german_credit(place: Path) -> dict[str, Any]:
    names = ",".join(f"a{number}" for number in range(1, 21)) + ",risk"
    return {"fetch.path": str(shared("credit", "german.data")), "fetch.columns": names, "fetch.separator": " "}


def census_like(place: Path) -> dict[str, Any]:
    """30,000 people in ten columns: income above a bound by steps and interactions, as in a census."""
    draw = np.random.default_rng(SEED)
    rows = 30_000
    age, hours = draw.integers(17, 90, rows), np.clip(draw.normal(40, 12, rows), 1, 99).round()
    years = np.clip(draw.normal(10, 2.6, rows), 1, 16).round()
    married = draw.choice(["married", "never", "divorced", "widowed"], rows, p=[0.46, 0.33, 0.16, 0.05])
    work = draw.integers(0, 14, rows)
    gain = np.where(draw.random(rows) < 0.085, draw.lognormal(8.3, 1.2, rows), 0).round()
    loss = np.where(draw.random(rows) < 0.047, draw.normal(1870, 370, rows), 0).round()
    level = -4.3 + 0.33 * (years - 10) + 2.1 * (married == "married") + 0.03 * (hours - 40) - 0.0028 * (age - 50.0) ** 2 + 1.2
    level += (
        5.0 * (gain > 5100) + 0.9 * (gain > 3000) + 2.2 * ((loss > 1820) & (loss < 1980)) - 1.1 * ((loss > 0) & (loss < 1700))
    )
    level += np.array([0.9, -1.2, 0.3, 0.0, 1.1, -0.8, -1.5, 0.2, 0.5, -0.4, 0.7, -2.0, 0.1, 0.4])[work]
    level += 0.8 * ((years >= 13) & (married == "married")) - 0.9 * ((hours < 25) & (work % 2 == 0))
    label = np.where(draw.random(rows) < 1 / (1 + np.exp(-1.25 * level)), ">50K", "<=50K")
    table: dict[str, Any] = {"age": age, "years_of_school": years, "hours": hours, "gain": gain, "loss": loss, "status": married}
    table |= {"work": [f"kind {number}" for number in work], "weight": draw.integers(12_000, 900_000, rows)}
    table |= {"region": draw.choice(list("ABCDEFGH"), rows), "sex": draw.choice(["f", "m"], rows), "income": label}
    pd.DataFrame(table).to_csv(place / "census.csv", index=False)
    return {"fetch.path": str(place / "census.csv"), "fetch.label": "income"}


def machine_parts(place: Path) -> dict[str, Any]:
    """4,000 parts of four classes by the products of eight measurements, two of them missing now and then."""
    draw = np.random.default_rng(SEED)
    values = draw.normal(size=(4000, 8))
    score = np.stack([values[:, 0] * values[:, 1], values[:, 2], np.abs(values[:, 3]) - 0.8, np.sin(2 * values[:, 4])], 1)
    label = np.array(["turned", "milled", "cast", "forged"])[(score + draw.gumbel(scale=0.35, size=score.shape)).argmax(1)]
    table = pd.DataFrame(values.round(3), columns=[f"m{number}" for number in range(8)]).assign(process=label)
    table.loc[draw.random(4000) < 0.1, "m5"] = np.nan
    table.to_csv(place / "parts.csv", index=False, sep=";", decimal=",")
    return {"fetch.path": str(place / "parts.csv"), "fetch.label": "process"}


def prices_of_flats(place: Path) -> dict[str, Any]:
    """3,000 flats with a price: a number to predict, by size, age, floor and district."""
    draw = np.random.default_rng(SEED)
    size, built, storey = draw.gamma(6, 13, 3000).round(1), draw.integers(1900, 2024, 3000), draw.integers(0, 9, 3000)
    district = draw.choice(["north", "south", "old town", "harbour"], 3000)
    rate = 2.1 + 1.4 * (district == "old town") + 0.7 * (district == "harbour") * (built > 1995) + 0.02 * storey
    rate -= 0.6 * ((built > 1950) & (built < 1980))
    price = size * rate * np.exp(draw.normal(0, 0.12, 3000))
    table = {
        "size": [f"{each} m²" for each in size],
        "built": built,
        "storey": storey,
        "district": district,
        "price": price.round(2),
    }
    pd.DataFrame(table).to_csv(place / "flats.csv", index=False)
    return {"fetch.path": str(place / "flats.csv"), "fetch.label": "price"}


KINDS = ("disc", "box", "cross", "ring", "bars", "star")


def rare_shapes(place: Path) -> dict[str, Any]:
    """620 colour pictures, 96 x 96, of six shapes on noisy ground: 120 of each, but 20 stars."""
    draw = np.random.default_rng(SEED)
    for kind in KINDS:
        (place / "shapes" / kind).mkdir(parents=True)
        for number in range(20 if kind == "star" else 120):
            shape(kind, draw).save(place / "shapes" / kind / f"{number:03}.jpg", quality=88)
    return {"fetch.path": str(place / "shapes")}


def shape(kind: str, draw: np.random.Generator) -> Image.Image:
    """A picture of one shape of any colour, size and place."""
    side = 96
    ground = np.clip(draw.normal(draw.integers(60, 190, 3), 28, (side, side, 3)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(ground)
    pen = ImageDraw.Draw(picture)
    radius = int(draw.integers(14, 34))
    x, y = (int(each) for each in draw.integers(radius + 2, side - radius - 2, 2))
    colour = tuple(int(each) for each in draw.integers(0, 256, 3))
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "disc":
        pen.ellipse(box, fill=colour)
    elif kind == "ring":
        pen.ellipse(box, outline=colour, width=max(3, radius // 4))
    elif kind == "box":
        pen.rectangle(box, fill=colour)
    elif kind == "cross":
        pen.line((x - radius, y, x + radius, y), fill=colour, width=radius // 2)
        pen.line((x, y - radius, x, y + radius), fill=colour, width=radius // 2)
    elif kind == "bars":
        for place in range(-radius, radius + 1, max(4, radius // 2)):
            pen.line((x + place, y - radius, x + place, y + radius), fill=colour, width=3)
    else:
        turns = np.linspace(0, 2 * np.pi, 11)[:-1]
        reach = np.where(np.arange(10) % 2, 0.42, 1.0) * radius
        points: NDArray[Any] = np.stack([x + reach * np.sin(turns), y - reach * np.cos(turns)], 1)
        pen.polygon([(float(a), float(b)) for a, b in points], fill=colour)
    return picture


def questions(place: Path) -> dict[str, Any]:
    """3,000 short questions of 30 intents, with synonyms, fillers and typing errors."""
    draw = np.random.default_rng(SEED)
    verbs = ("open", "close", "cancel", "change", "check", "explain")
    things = ("account", "card", "loan", "transfer", "insurance")
    words = {"open": ["open", "start", "get"], "close": ["close", "end", "shut down"], "cancel": ["cancel", "stop", "undo"]}
    words |= {"change": ["change", "update", "edit"], "check": ["check", "see", "look up"], "explain": ["explain", "understand"]}
    fillers = ("please", "today", "my", "the", "online", "quickly", "for my wife", "again", "", "")
    rows = []
    for _ in range(3000):
        verb, thing = (str(draw.choice(group)) for group in (verbs, things))
        parts = ["how can i", str(draw.choice(words[verb])), str(draw.choice(fillers)), thing, str(draw.choice(fillers))]
        text = " ".join(part for part in parts if part)
        if draw.random() < 0.3:
            place_of_error = int(draw.integers(0, len(text) - 1))
            text = text[:place_of_error] + text[place_of_error + 1 :]
        rows.append((f"{text}?", f"{verb} {thing}"))
    pd.DataFrame(rows, columns=["question", "intent"]).to_csv(place / "questions.csv", index=False)
    return {"fetch.path": str(place / "questions.csv"), "fetch.text": "question", "fetch.label": "intent"}


MADE = {
    "made: census-like, 30,000 rows": OwnData("credit", census_like),
    "made: machine parts, 4 classes": OwnData("credit", machine_parts),
    "made: prices of flats": OwnData("credit", prices_of_flats),
    "made: shapes, one class rare": OwnData("vision", rare_shapes),
    "made: short questions, 30 intents": OwnData("nlp", questions),
}
PUBLIC = {
    "German credit": OwnData("credit", german_credit),
    "Taiwan credit": OwnData(
        "credit", folder("credit", "UCI_Credit_Card.csv.gz"), settings={"fetch.label": "default.payment.next.month"}
    ),
    "SMS spam": OwnData("nlp", texts("sms_spam")),
    "movie reviews": OwnData("nlp", texts("movie_reviews")),
    "noisy AG News": OwnData("nlp", texts("noisy_10k"), 5000),
    "AG News": OwnData("nlp", texts("ag_news"), 8000),
    "cats and dogs": OwnData("vision", folder("photos", "cats_dogs")),
    "sign digits": OwnData("vision", folder("photos", "sign_digits"), 1000),
    "MNIST": OwnData("vision", folder("mnist"), 4000),
    "Fashion-MNIST": OwnData("vision", folder("fashion_mnist"), 4000),
    "CIFAR-10 (JPEG)": OwnData("vision", folder("cifar10"), 4000),
    "Dow Jones shares": OwnData("finance", folder("finance", "all_stocks_2006-01-01_to_2018-01-01.csv.gz"), 12_000),
    "StockNet prices": OwnData("finance", folder("finance", "stocknet_price_raw_88.csv.gz"), 12_000),
    "VIX": OwnData("finance", folder("finance", "vix-daily.csv.gz")),
}
