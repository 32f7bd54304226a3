"""The whole promise on Fashion-MNIST: accuracy of dense and released, size and speed, through the pipeline's own stages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.scene import scene
from tasks.core.artifacts import Artifact
from tasks.core.errors import UserError

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
        rows, verdict = [flat(row) for row in release.json("table.json")["rows"]], release.json("verdict.json")
        fitting = next(event for event in place.events("train", "vision") if event["event"] == "cost")
    if not verdict["released"]:
        raise UserError(f"nothing was released: {verdict['reason']}")
    record.write(
        "fashion",
        f"Fashion-MNIST, official test split; dense was fitted in {fitting['cpu_s']:.0f} CPU-seconds.",
        rows,
        verdict=verdict,
    )


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the release's table, without its intervals of latency."""
    times = {name: found["1"]["ratio"] for name, found in row["speedup_over"].items() if found}
    return {
        "recipe": row["recipe"],
        "test_accuracy": row["value"],
        "low": row["low"],
        "high": row["high"],
        "drop": row["drop"]["value"] if row["drop"] else None,
        "bytes": row["bytes"],
        "size_share": row["size_share"],
        "latency_ms": row["latency_ms"]["1"]["median_ms"],
        "times_dense": times.get("dense"),
        "times_eager": times.get("eager PyTorch"),
        "contract": row["status"],
    }
