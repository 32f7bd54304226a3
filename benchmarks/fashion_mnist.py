"""Fashion-MNIST through the whole pipeline: accuracy, size and speed of the dense and the released network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact

RECIPES = ("dense", "distilled-int4")
"""The other recipes take as long again and are not needed here."""
SETTINGS = Path(__file__).parent / "fashion_mnist.yaml"


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with fashion_mnist/*.gz, and benchmarks do not download")
        return
    with temporary_workspace("vision", record.settings(SETTINGS), RECIPES) as workspace:
        for stage in ("fetch", "clean", "augment", "train", "baselines"):
            workspace.run_stage(stage, "vision")
        for stage in ("compress", "evaluate"):
            for recipe in RECIPES:
                workspace.run_stage(stage, "vision", recipe)
        workspace.run_stage("latency", "vision")
        workspace.run_stage("release", "vision")
        release = Artifact(workspace.root / "data" / "vision" / "release")
        rows, verdict = [table_row(row) for row in release.json("table.json")["rows"]], release.json("verdict.json")
        fitting = next(event for event in workspace.events("train", "vision") if event["event"] == "cost")
    if not verdict["released"]:
        raise UserError(f"nothing was released: {verdict['reason']}")
    record.write(
        "fashion_mnist",
        f"Fashion-MNIST, official test split; dense was fitted in {fitting['cpu_s']:.0f} CPU-seconds.",
        rows,
        verdict=verdict,
    )


def table_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the release's table, without the intervals of its latencies."""
    times = {name: speedup["1"]["ratio"] for name, speedup in row["speedup_over"].items() if speedup}
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
