"""The whole promise on Fashion-MNIST: accuracy of dense and released, size and speed, through the pipeline's own stages."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import record
from benchmarks.scene import scene
from tasks.contracts import Mistake
from tasks.workspace import Artifact

SETTINGS = Path(__file__).parent / "fashion.yaml"


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with fashion_mnist/*.gz, and benchmarks do not download")
        return
    with scene("vision", record.settings(SETTINGS)) as place:
        for stage in ("fetch", "clean", "augment", "train"):
            place.play(stage, "vision")
        for recipe in ("dense", "int8", "pruned", "distilled", "pruned-int8"):
            place.play("compress", "vision", recipe)
        for recipe in ("dense", "int8", "pruned", "distilled", "pruned-int8"):
            place.play("evaluate", "vision", recipe)
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
