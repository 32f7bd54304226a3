"""Photos with a pretrained network, and CIFAR-10 in JPEG with one from nothing: accuracy, CPU-seconds, and a small released file.

`python -m benchmarks pretrained_pictures` measures every set of pretrained_pictures.yaml; PICTURES=cats_dogs,sign_digits some,
and keeps the rows of the others. The project of each set stays in a folder of .bonsai/benchmarks, or of BONSAI_KEPT: a benchmark
that was ended goes on with the stage that it was in.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, kept_workspace
from tasks.core import params_file
from tasks.core.splits import split_by_hash
from tasks.core.storage.artifacts import Artifact, Table

SENTENCE = (
    "Test accuracy, CPU-seconds of fit and compression, and the released file; `small` is a distilled student in 8 bits. "
    "A linear head is one on frozen features, the mean over random splits; near-duplicates stay together."
)
SETTINGS = Path(__file__).parent / "pretrained_pictures.yaml"
SMALL: dict[str, dict[str, float]] = {
    "cats_dogs": {"width_share": 0.45, "effort": 1, "learning_rate_share": 0.1},
    "sign_digits": {"width_share": 0.45, "effort": 1, "learning_rate_share": 0.5},
    "cifar10": {"width_share": 0.375},
}
"""How the student of each set is distilled, before it is quantized to 8 bits."""
FROZEN = ("cats_dogs",)
"""The sets whose network is frozen."""
SPLITS = 20
"""Random splits of train, validation and test rows that a linear head on frozen features is fitted to."""


def main() -> None:
    datasets = os.environ.get("BONSAI_DATASETS")
    if not datasets:
        print("skipped: BONSAI_DATASETS names no folder with photos/ and cifar10/*.parquet, and benchmarks do not download")
        return
    kept = Path(os.environ.get("BONSAI_KEPT") or Path(__file__).parents[1] / ".bonsai" / "benchmarks")
    for name, settings in record.settings(SETTINGS).items():
        if name not in os.environ.get("PICTURES", name).split(","):
            continue
        if path := settings.get("fetch.path"):
            settings["fetch.path"] = str(Path(datasets) / path)
        small: list[dict[str, Any]] = [{"distill": SMALL[name]}, {"quantize": {}}]
        rows = measure(name, kept_workspace(kept / name, "vision", settings, ["dense", "small"], {"small": small}))
        others = [row for row in earlier_rows() if row["pictures"] != name]
        record.write("pretrained_pictures", SENTENCE, sorted([*others, *rows], key=lambda row: str(row["pictures"])))


def earlier_rows() -> list[dict[str, Any]]:
    """The rows of the results file, none if there is no such file."""
    path = record.RESULTS / "pretrained_pictures.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def measure(name: str, workspace: StageWorkspace) -> list[dict[str, Any]]:
    """Run all stages; one row for dense and one for the student."""
    cost: dict[str, Mapping[str, Any]] = {}
    for stage in ("fetch", "clean", "augment", "train", "baselines"):
        cost[stage] = workspace.resume_stage(stage, "vision")
    for recipe in ("dense", "small"):
        cost[recipe] = workspace.resume_stage("compress", "vision", recipe)
    for recipe in ("dense", "small"):
        workspace.resume_stage("evaluate", "vision", recipe)
    workspace.resume_stage("latency", "vision")
    workspace.resume_stage("release", "vision")
    release = Artifact(workspace.root / "data" / "vision" / "release")
    verdict, table = release.json("verdict.json"), {row["recipe"]: row for row in release.json("table.json")["rows"]}
    rows = [
        {
            "pictures": name,
            "recipe": recipe,
            "test_accuracy": table[recipe]["value"],
            "low": table[recipe]["low"],
            "bytes": table[recipe]["bytes"],
            "drop": table[recipe]["drop"],
            "cpu_s": cost["train" if recipe == "dense" else recipe]["cpu_s"],
            "latency_ms": table[recipe]["latency_ms"]["1"]["median_ms"],
            "contract": table[recipe]["status"],
            "released": verdict["released"] == recipe,
        }
        for recipe in ("dense", "small")
    ]
    return [*rows, head_over_splits(name, workspace)] if name in FROZEN else rows


def head_over_splits(name: str, workspace: StageWorkspace) -> dict[str, Any]:
    """The mean test accuracy of a linear head over `SPLITS` random splits, its strength chosen on validation rows."""
    import torch

    from tasks.training.runtime import precision
    from tasks.training.transfer import features, linear_head

    began = time.process_time()
    case: Any = params_file.build_use_case("vision", params_file.read_params(workspace.root / "params.yaml"))
    rows = Table(workspace.root / "data" / "vision" / "clean" / "rows").read().reset_index(drop=True)
    inputs, targets = case.encode(rows, state := case.fit_preprocessing(rows))  # the frozen layers have moments of their own
    torch.set_num_threads(1)
    body = torch.nn.Sequential(*case.build_model(state).layers()[:-1])
    plan = precision.choose_plan(body, torch.from_numpy(inputs[:32]), case.training, forward_only=True)
    seen = features.compute(body, inputs, plan, workspace.root / "features")
    groups, accuracies = case.duplicate_group(rows), []
    for seed in range(SPLITS):
        split = split_by_hash(groups + f" {seed}", case.clean.validation_share, case.clean.test_share)
        train, validation, test = (np.flatnonzero(split == each) for each in ("train", "validation", "test"))
        held_out = seen[validation], targets[validation]
        head = linear_head.fit(seen[train], targets[train], held_out, len(state["classes"]))
        accuracies.append(float((head.logits(seen[test]).argmax(1) == targets[test]).mean()))
    return {
        "pictures": name,
        "recipe": f"linear head, mean of {SPLITS} splits",
        "test_accuracy": mean(accuracies),
        "cpu_s": round(time.process_time() - began, 1),
        "least_test_accuracy": min(accuracies),
    }
