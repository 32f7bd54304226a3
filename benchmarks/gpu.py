"""CIFAR-10 (the JPEG copy) to at least 0.93 in under 60 seconds of training inside the pipeline, on a CUDA GPU."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import record
from benchmarks.scene import scene

SETTINGS = Path(__file__).parent / "gpu.yaml"


def main() -> None:
    import torch

    if not torch.cuda.is_available():
        print("skipped: torch sees no CUDA GPU here")
        return
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with cifar10/*.parquet, and benchmarks do not download")
        return
    with scene("vision", record.settings(SETTINGS)) as place:
        for stage in ("fetch", "clean", "augment", "train"):
            place.play(stage, "vision")
        place.play("compress", "vision", "dense")
        place.play("evaluate", "vision", "dense")
        fitting = next(event for event in place.events("train", "vision") if event["event"] == "cost")
        row = {
            "device": torch.cuda.get_device_name(),
            "test_accuracy": place.result("vision", "dense"),
            "fit_wall_s": fitting["wall_s"],
        }
    record.write("gpu", "CIFAR-10 as JPEG (quality 75), dense network, one seed.", [row])
