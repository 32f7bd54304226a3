"""A person's own texts with the product's defaults: the dense network beside the classic models, on the same test rows.

Topics: files of `BONSAI_DATASETS`, some of them cut to few rows. Entities: a folder of column files that `BONSAI_COLUMN_FILES`
names (train, valid and test). Texts in which nothing is tuned for these data: no setting is given but the file.
"""

from __future__ import annotations

import csv
import gzip
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, kept_workspace
from tasks.core.storage.artifacts import Artifact

SEED, TEST_ROWS = 0, 2_500
KEPT = Path(".bonsai") / "benchmarks" / "text_defaults"
"""Where workspaces stay, so that a run that was ended goes on where it stopped."""


def main() -> None:
    """Run every data set, or those that BONSAI_BENCHMARK_DATA names with commas between."""
    files, columns = os.environ.get("BONSAI_DATASETS"), os.environ.get("BONSAI_COLUMN_FILES")
    if not files:
        print("skipped: BONSAI_DATASETS names no folder with ag_news/*.xz and text/*.gz, and benchmarks do not download")
        return
    chosen = [name for name in os.environ.get("BONSAI_BENCHMARK_DATA", "").split(",") if name] or [
        *DATA,
        *["entities"][: bool(columns)],
    ]
    rows: list[dict[str, Any]] = []
    for name in chosen:
        path = Path(columns or "") if name == "entities" else table(name, Path(files))
        workspace = kept_workspace(KEPT.resolve(), "nlp", {"fetch.path": str(path.resolve())}, ("dense",))
        rows += scores(workspace, name)
    record.write("text_defaults", "Test rows; product defaults, nothing chosen for these data.", rows)


def scores(workspace: StageWorkspace, name: str) -> list[dict[str, Any]]:
    """A row for the dense network, and one for each classic model, in order of the first metric."""
    for stage in ("fetch", "clean", "augment", "train", "baselines"):
        workspace.resume_stage(stage, "nlp")
    workspace.resume_stage("compress", "nlp", "dense")
    workspace.resume_stage("evaluate", "nlp", "dense")
    folder = workspace.root / "data" / "nlp" / "evaluations"
    dense = Artifact(folder / "dense").json("metrics.json")
    splits = Artifact(workspace.root / "data" / "nlp" / "clean").json("ledger.json")["splits"]
    fitted = next(event for event in workspace.events("train", "nlp") if event["event"] == "cost")
    metric, value = next(iter(dense["splits"]["test"]["scores"].items()))
    classic = {model: split["test"]["scores"][metric] for model, split in dense["baselines"].items()}
    best = max(classic.values())
    rows = [{"model": "dense", "value": value, "gain": value - best, "fit_cpu_s": fitted["cpu_s"]}]
    rows += [{"model": model, "value": score} for model, score in sorted(classic.items(), key=lambda pair: -pair[1])]
    counts = {"train": splits["train"], "test": splits["test"]}
    return [{"data": name, **counts, "metric": metric, **row} for row in rows]


def table(name: str, folder: Path) -> Path:
    """The CSV of a data set below `KEPT`, with a column that says which rows are for test."""
    rows, train = DATA[name]
    listed = list(dict.fromkeys(rows(folder)))
    Random(SEED).shuffle(listed)
    kept = listed[: TEST_ROWS + train] if train else listed
    path = KEPT / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        writer.writerows((text, label, "test" if place < TEST_ROWS else "train") for place, (text, label) in enumerate(kept))
    return path


def movie_reviews(folder: Path) -> Iterator[tuple[str, str]]:
    for label in ("pos", "neg"):
        with gzip.open(folder / "text" / f"rt-polarity.{label}.gz", "rt", encoding="utf-8") as file:
            yield from ((line.strip(), label) for line in file if line.strip())


def spam(folder: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(folder / "text" / "SMSSpamCollection.gz", "rt", encoding="utf-8") as file:
        for line in file:
            label, text = line.rstrip("\n").split("\t", 1)
            yield text, label


def news(folder: Path) -> Iterator[tuple[str, str]]:
    with lzma.open(folder / "ag_news" / "train_12k_random.csv.xz", "rt", encoding="utf-8") as file:
        for label, title, text in list(csv.reader(file))[1:]:
            yield f"{title} {text}", ("World", "Sports", "Business", "Sci/Tech")[int(label) - 1]


DATA: dict[str, tuple[Callable[[Path], Iterator[tuple[str, str]]], int]] = {
    "movie_reviews": (movie_reviews, 0),
    "movie_reviews_2000": (movie_reviews, 2_000),
    "text_messages": (spam, 0),
    "news_2000": (news, 2_000),
    "news_9500": (news, 0),
}
"""The reader of each data set, and how many rows are not for test; 0 for all."""
