"""Names found in 15,000 written sentences, most names new in each: a file of words and tags through the whole use case.

The sentences are made of frames and syllables by a seeded generator, with names that are people, places or firms depending
on what stands beside them. Real newswire is harder: these figures show that the work is done, not how well newspapers are read.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from benchmarks import record
from benchmarks.scene import scene
from tasks.core.artifacts import Artifact

SENTENCES, SEED = 15_000, 11
RECIPES = ("dense", "int8")
SETTINGS = {"training.epochs": 5, "training.batch_size": 32, "training.learning_rate": 0.005, "training.weight_decay": 0.01}
ONSETS = (
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
)
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
CODAS = ("", "n", "r", "s", "l", "nd", "rt", "m", "ck")
FRAMES = (
    "{PER} , chairman of {ORG} , said on {day} that profits rose {number} percent .",
    "{ORG} shares fell {number} percent after {PER} left the {MISC} firm .",
    "{LOC} ( Reuters ) - The {MISC} president met {PER} in {LOC} on {day} .",
    "{TEAM} beat {TEAM} {number} - {number} in the {CUP} on {day} .",
    "{PER} scored twice as {TEAM} drew with {TEAM} .",
    "Police in {LOC} said {PER} and {PER} were held on {day} .",
    "The bank said {ORG} would buy {ORG} for {number} million dollars .",
    "{PER} was born in {LOC} and now lives near {LOC} .",
    "Rain is expected in the north on {day} , the weather office said .",
    "Analysts expect {number} new offices from {LOC} to {LOC} , said {ORG} .",
    "{MISC} farmers marched through {LOC} against {ORG} .",
    "On {day} prices rose {number} percent , their best week of the year .",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def main() -> None:
    dice = Random(SEED)
    with scene("nlp", {"fetch.path": "names.conll", **SETTINGS}, RECIPES) as place:
        (place.root / "names.conll").write_text("\n\n".join(sentence(dice) for _ in range(SENTENCES)) + "\n")
        for stage in ("fetch", "clean", "augment", "train"):
            place.play(stage, "nlp")
        fitting = next(event for event in place.events("train", "nlp") if event["event"] == "cost")
        for recipe in RECIPES:
            place.play("compress", "nlp", recipe)
            place.play("evaluate", "nlp", recipe)
        place.play("release", "nlp")
        rows, kinds = table(place.root / "data" / "nlp")
    record.write(
        "names",
        f"Entities in {SENTENCES:,} generated sentences, fitted in {fitting['cpu_s']:.0f} CPU-seconds; test rows.",
        rows,
        kinds=kinds,
    )


def table(data: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One line per model, and the table of kinds for each recipe."""
    lines = Artifact(data / "release").json("table.json")["rows"]
    metrics = {line["recipe"]: Artifact(data / "evaluations" / line["recipe"]).json("metrics.json") for line in lines}
    rows = [
        {"model": line["recipe"], **metrics[line["recipe"]]["splits"]["test"]["scores"], "size_share": line["size_share"]}
        for line in lines
    ]
    rows += [{"model": name, **found["test"]["scores"]} for name, found in metrics["dense"]["baselines"].items()]
    return rows, {name: found["splits"]["test"]["report"]["per_entity"] for name, found in metrics.items()}


def sentence(dice: Random) -> str:
    """Lines of words and tags in the IOB1 form: B- only where two names of a kind touch, which they never do here."""
    lines = []
    for part in dice.choice(FRAMES).split():
        if not part.startswith("{"):
            lines.append(f"{part} O")
        elif part in ("{day}", "{number}"):
            lines.append(f"{dice.choice(DAYS) if part == '{day}' else dice.randint(1, 90)} O")
        else:
            words, kind = name(part.strip("{}"), dice)
            lines += [f"{word} I-{kind}" for word in words]
    return "\n".join(lines)


def name(kind: str, dice: Random) -> tuple[list[str], str]:
    """The words of a new name and its kind; a team bears the name of a place and is a firm."""
    if kind == "PER":
        return [word(dice, 2) for _ in range(dice.randint(1, 2))], "PER"
    if kind == "LOC":
        return ([dice.choice(("New", "San", "Port"))] if dice.random() < 0.2 else []) + [word(dice, 2)], "LOC"
    if kind == "TEAM":
        return [word(dice, 2)] + (["United"] if dice.random() < 0.3 else []), "ORG"
    if kind == "ORG":
        return [word(dice, 2), *dice.choice((["Corp"], ["Group"], ["&", "Sons"], [], ["Bank"]))], "ORG"
    if kind == "CUP":
        return [word(dice, 2), "Cup"], "MISC"
    return [word(dice, 1) + dice.choice(("ish", "ian", "ese"))], "MISC"


def word(dice: Random, syllables: int) -> str:
    parts = (dice.choice(ONSETS) + dice.choice(VOWELS) + dice.choice(CODAS) for _ in range(syllables))
    return "".join(parts).capitalize()
