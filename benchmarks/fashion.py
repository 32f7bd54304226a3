"""The whole promise on Fashion-MNIST: accuracy of dense and released, size and speed, through the pipeline's own stages."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import record
from benchmarks.scene import scene
from tasks.contracts import Mistake
from tasks.workspace import Artifact

RECIPES = ("dense", "pruned-int8")
"""The others take as long again and are not needed for the promise."""
SETTINGS = Path(__file__).parent / "fashion.yaml"


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with fashion_mnist/*.gz, and benchmarks do not download")
        return
    with scene("vision", record.settings(SETTINGS), RECIPES) as place:
        for stage in ("fetch", "clean", "augment", "train"):
            place.play(stage, "vision")
        for stage in ("compress", "evaluate"):
            for recipe in RECIPES:
                place.play(stage, "vision", recipe)
        place.play("release", "vision")
        release = Artifact(place.root / "data" / "vision" / "release")
        rows, verdict = release.json("table.json"), release.json("verdict.json")
        fitting = next(event for event in place.events("train", "vision") if event["event"] == "cost")
    if not verdict["released"]:
        raise Mistake(f"nothing was released: {verdict['reason']}")
    record.write(
        "fashion",
        f"Fashion-MNIST, official test split; dense was fitted in {fitting['cpu_s']:.0f} CPU-seconds.",
        rows,
        verdict=verdict,
    )
