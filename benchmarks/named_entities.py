"""Names in column files through the whole pipeline, with the settings that the product chooses: the tagger against a CRF.

Two files: sentences that are made here of frames and syllables, whose names are new in each sentence; and real newswire with
tags by rules (see `news_names`), if BONSAI_DATASETS names the folder with AG News. Neither is annotated by people: the
figures compare models on the same rows. `ONLY=news` measures one of them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import news_names, record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core.storage.artifacts import Artifact
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.use_cases.nlp.ner import crf_baseline

NAME = "named_entities"
TRAIN, TEST, SEED = 3000, 1000, 11
"""Sentences of each file."""
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
    """Measure each file, and write the table after each."""
    for name, write in FILES.items():
        if os.environ.get("ONLY", name) != name:
            continue
        if name == "news" and not os.environ.get(DATASETS_VARIABLE):
            print(f"news is left out: {DATASETS_VARIABLE} names no folder with its files")
            continue
        measured = measure(name, write)
        path = record.RESULTS / f"{NAME}.json"
        measured_files = {row["file"] for row in measured}
        kept = (
            [row for row in json.loads(path.read_text())["rows"] if row.get("file", name) not in measured_files]
            if path.exists()
            else []
        )
        rows = sorted([*kept, *measured], key=lambda row: list(FILES).index(row["file"]))
        record.write(NAME, sentence_on(rows), rows)


def measure(name: str, write: Any) -> list[dict[str, Any]]:
    """The test scores of dense and of the baselines on one file, with the product's own settings."""
    with temporary_workspace("nlp", {"fetch.path": "names"}, ("dense",)) as workspace:
        (workspace.root / "names").mkdir()
        write(workspace.root / "names")
        for stage in ("fetch", "clean", "augment", "baselines", "train"):
            workspace.run_stage(stage, "nlp")
        fitting = next(event for event in workspace.events("train", "nlp") if event["event"] == "cost")
        workspace.run_stage("compress", "nlp", "dense")
        workspace.run_stage("evaluate", "nlp", "dense")
        metrics = Artifact(workspace.root / "data" / "nlp" / "evaluations" / "dense").json("metrics.json")
    scores = {"dense": metrics["splits"]["test"]["scores"]}
    scores |= {other: splits["test"]["scores"] for other, splits in metrics["baselines"].items()}
    counts = {"sentences": TEST, "scored": int(metrics["splits"]["test"]["rows"])}
    return [
        {"file": name, "model": model, **values, **counts, "cpu_s": round(fitting["cpu_s"]) if model == "dense" else None}
        for model, values in scores.items()
    ]


def sentence_on(rows: list[dict[str, Any]]) -> str:
    """How the tagger and the CRF compare on each file."""
    parts = []
    for name in dict.fromkeys(row["file"] for row in rows):
        scores = {row["model"]: row["entity_f1"] for row in rows if row["file"] == name}
        crf = scores[crf_baseline.NAME]
        parts.append(f"{name}: tagger {scores['dense']:.4f}, CRF {crf:.4f}")
    return f"Entity F1 on {TEST:,} test sentences of each file, after {TRAIN:,} train sentences: {'; '.join(parts)}."


def made(place: Path) -> None:
    """Write sentences of frames and syllables."""
    generator = Random(SEED)
    for split, count in (("train", TRAIN), ("test", TEST)):
        (place / f"{split}.conll").write_text("\n\n".join(sentence(generator) for _ in range(count)) + "\n")


def news(place: Path) -> None:
    """Write newswire with tags by rules."""
    news_names.write(Path(os.environ[DATASETS_VARIABLE], "ag_news"), place, TRAIN, TEST)


FILES = {"made": made, "news": news}


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
