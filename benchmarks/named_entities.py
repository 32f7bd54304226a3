"""Named entity recognition on 15,000 generated sentences: a CoNLL file through the whole pipeline.

The sentences are made of frames and syllables by a seeded generator. Most names are new in each sentence, and are people,
places or firms by their context. Real newswire is harder: these figures show that the pipeline works, and not its quality on
newspapers.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core.storage.artifacts import Artifact

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
    generator = Random(SEED)
    with temporary_workspace("nlp", {"fetch.path": "names.conll", **SETTINGS}, RECIPES) as workspace:
        (workspace.root / "names.conll").write_text("\n\n".join(sentence(generator) for _ in range(SENTENCES)) + "\n")
        for stage in ("fetch", "clean", "augment", "train", "baselines"):
            workspace.run_stage(stage, "nlp")
        fitting = next(event for event in workspace.events("train", "nlp") if event["event"] == "cost")
        for recipe in RECIPES:
            workspace.run_stage("compress", "nlp", recipe)
            workspace.run_stage("evaluate", "nlp", recipe)
        workspace.run_stage("latency", "nlp")
        workspace.run_stage("release", "nlp")
        rows, per_entity = table(workspace.root / "data" / "nlp")
    record.write(
        "named_entities",
        f"Entities in {SENTENCES:,} generated sentences, fitted in {fitting['cpu_s']:.0f} CPU-seconds; test rows.",
        rows,
        kinds=per_entity,
    )


def table(data: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One line per model, and the table of kinds for each recipe."""
    lines = Artifact(data / "release").json("table.json")["rows"]
    metrics = {line["recipe"]: Artifact(data / "evaluations" / line["recipe"]).json("metrics.json") for line in lines}
    rows = [
        {"model": line["recipe"], **metrics[line["recipe"]]["splits"]["test"]["scores"], "size_share": line["size_share"]}
        for line in lines
    ]
    rows += [{"model": name, **scores["test"]["scores"]} for name, scores in metrics["dense"]["baselines"].items()]
    return rows, {name: scores["splits"]["test"]["report"]["per_entity"] for name, scores in metrics.items()}


def sentence(generator: Random) -> str:
    """Lines of words and tags in the IOB1 form: B- only where two names of a kind touch, which they never do here."""
    lines = []
    for part in generator.choice(FRAMES).split():
        if not part.startswith("{"):
            lines.append(f"{part} O")
        elif part in ("{day}", "{number}"):
            lines.append(f"{generator.choice(DAYS) if part == '{day}' else generator.randint(1, 90)} O")
        else:
            words, kind = new_name(part.strip("{}"), generator)
            lines += [f"{word} I-{kind}" for word in words]
    return "\n".join(lines)


def new_name(kind: str, generator: Random) -> tuple[list[str], str]:
    """The words of a new name and its kind; a team bears the name of a place and is a firm."""
    if kind == "PER":
        return [new_word(generator, 2) for _ in range(generator.randint(1, 2))], "PER"
    if kind == "LOC":
        return ([generator.choice(("New", "San", "Port"))] if generator.random() < 0.2 else []) + [new_word(generator, 2)], "LOC"
    if kind == "TEAM":
        return [new_word(generator, 2)] + (["United"] if generator.random() < 0.3 else []), "ORG"
    if kind == "ORG":
        return [new_word(generator, 2), *generator.choice((["Corp"], ["Group"], ["&", "Sons"], [], ["Bank"]))], "ORG"
    if kind == "CUP":
        return [new_word(generator, 2), "Cup"], "MISC"
    return [new_word(generator, 1) + generator.choice(("ish", "ian", "ese"))], "MISC"


def new_word(generator: Random, syllables: int) -> str:
    parts = (generator.choice(ONSETS) + generator.choice(VOWELS) + generator.choice(CODAS) for _ in range(syllables))
    return "".join(parts).capitalize()
