"""Photos with a pretrained network, and CIFAR-10 in JPEG with one from nothing: accuracy, CPU-seconds, and a small released file.

`python -m benchmarks pretrained_pictures` measures every set of pretrained_pictures.yaml; PICTURES=cats_dogs,sign_digits some.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, temporary_workspace
from tasks.core.storage.artifacts import Artifact

SETTINGS = Path(__file__).parent / "pretrained_pictures.yaml"
SMALL: dict[str, dict[str, float]] = {
    "cats_dogs": {"width_share": 0.5, "effort": 1, "learning_rate_share": 0.1},
    "sign_digits": {"width_share": 0.5, "effort": 1},
    "cifar10": {"width_share": 0.375},
}
"""How the student of each set is distilled, before it is quantized to 8 bits."""


def main() -> None:
    datasets = os.environ.get("BONSAI_DATASETS")
    if not datasets:
        print("skipped: BONSAI_DATASETS names no folder with photos/ and cifar10/*.parquet, and benchmarks do not download")
        return
    rows: list[dict[str, Any]] = []
    for name, settings in record.settings(SETTINGS).items():
        if name not in os.environ.get("PICTURES", name).split(","):
            continue
        if path := settings.get("fetch.path"):
            settings["fetch.path"] = str(Path(datasets) / path)
        small: list[dict[str, Any]] = [{"distill": SMALL[name]}, {"quantize": {}}]
        with temporary_workspace("vision", settings, ["dense", "small"], {"small": small}) as workspace:
            rows += measure(name, workspace)
        record.write(
            "pretrained_pictures", "Test accuracy and CPU-seconds of stages; `small` is a distilled student in 8 bits.", rows
        )


def measure(name: str, workspace: StageWorkspace) -> list[dict[str, Any]]:
    """Run all stages; one row for dense and one for the student."""
    cost: dict[str, Mapping[str, Any]] = {}
    for stage in ("fetch", "clean", "augment", "train", "baselines"):
        cost[stage] = workspace.run_stage(stage, "vision")
    for recipe in ("dense", "small"):
        cost[recipe] = workspace.run_stage("compress", "vision", recipe)
    for recipe in ("dense", "small"):
        workspace.run_stage("evaluate", "vision", recipe)
    workspace.run_stage("release", "vision")
    release = Artifact(workspace.root / "data" / "vision" / "release")
    verdict, table = release.json("verdict.json"), {row["recipe"]: row for row in release.json("table.json")["rows"]}
    return [
        {
            "pictures": name,
            "recipe": recipe,
            "test_accuracy": table[recipe]["value"],
            "low": table[recipe]["low"],
            "bytes": table[recipe]["bytes"],
            "cpu_s": cost["train" if recipe == "dense" else recipe]["cpu_s"],
            "latency_ms": table[recipe]["latency_ms"]["1"]["median_ms"],
            "contract": table[recipe]["status"],
            "released": verdict["released"] == recipe,
        }
        for recipe in ("dense", "small")
    ]
