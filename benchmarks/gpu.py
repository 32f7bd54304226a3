"""CIFAR-10 (the JPEG copy) to at least 0.93 in under 60 seconds of training inside the pipeline, on a CUDA GPU."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace

SETTINGS = Path(__file__).parent / "gpu.yaml"


def main() -> None:
    import torch

    if not torch.cuda.is_available():
        print("skipped: torch sees no CUDA GPU here")
        return
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with cifar10/*.parquet, and benchmarks do not download")
        return
    with temporary_workspace("vision", record.settings(SETTINGS)) as workspace:
        for stage in ("fetch", "clean", "augment", "train", "baselines"):
            workspace.run_stage(stage, "vision")
        workspace.run_stage("compress", "vision", "dense")
        workspace.run_stage("evaluate", "vision", "dense")
        fitting = next(event for event in workspace.events("train", "vision") if event["event"] == "cost")
        row = {
            "device": torch.cuda.get_device_name(),
            "test_accuracy": workspace.main_metric("vision", "dense"),
            "fit_wall_s": fitting["wall_s"],
        }
    record.write("gpu", "CIFAR-10 as JPEG (quality 75), dense network, one seed.", [row])
