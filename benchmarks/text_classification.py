"""Public text data sets through the whole pipeline: the dense and the compressed networks beside baselines on the same rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, temporary_workspace
from tasks.core.storage.artifacts import Artifact

RECIPES = ("dense", "int8", "distilled-int4")
COUNTS = ("rows_in", "kept", "quarantined", "duplicates", "reasons", "fixes", "leaks")
SETTINGS = Path(__file__).parent / "text_classification.yaml"
F1_CLASSES = {"sms_spam": "spam"}
"""Data sets whose F1 is that of one class, else it is the macro average."""


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with ag_news/*.xz and text/*.gz, and benchmarks do not download")
        return
    for name, overrides in record.settings(SETTINGS).items():
        with temporary_workspace("nlp", {"fetch.dataset": name, **overrides}, RECIPES) as workspace:
            rows, verdict = run_pipeline(workspace, name)
        sentence = f"Test rows, settings chosen on validation. {verdict['headline']}"
        record.write(f"text_classification_{name}", sentence, rows, verdict=verdict)


def run_pipeline(workspace: StageWorkspace, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run all stages on one data set. Returns its rows of the table, and its verdict with the data quality counts."""
    for stage in ("fetch", "clean", "augment", "train", "baselines"):
        workspace.run_stage(stage, "nlp")
    for recipe in RECIPES:
        workspace.run_stage("compress", "nlp", recipe)
        workspace.run_stage("evaluate", "nlp", recipe)
    workspace.run_stage("latency", "nlp")
    workspace.run_stage("release", "nlp")
    data = workspace.root / "data" / "nlp"
    release = Artifact(data / "release")
    verdict = release.json("verdict.json")
    quality_report = Artifact(data / "clean").json("ledger.json")
    verdict["ledger"] = {key: quality_report[key] for key in COUNTS}
    noise = Artifact(data / "evaluations" / "dense").json("metrics.json")["splits"]["test"]["report"]["label_noise"]
    verdict["label_noise"] = {key: value for key, value in noise.items() if key != "rows"}
    fitting = next(event for event in workspace.events("train", "nlp") if event["event"] == "cost")
    rows = []
    for row in release.json("table.json")["rows"]:
        report = Artifact(data / "evaluations" / row["recipe"]).json("metrics.json")["splits"]["test"]["report"]
        times = {other: speedup["1"]["ratio"] for other, speedup in row["speedup_over"].items()}
        rows.append(
            {
                "data": name,
                "model": row["recipe"] + (" (released)" if row["chosen"] else ""),
                "accuracy": row["value"],
                "f1": class_f1(report, F1_CLASSES.get(name, "")),
                "drop": row["drop"]["value"] if row["drop"] else None,
                "bytes": row["bytes"],
                "size_share": row["size_share"],
                "times_eager": times.get("eager PyTorch"),
                "fit_cpu_s": fitting["cpu_s"] if row["recipe"] == "dense" else None,
            }
        )
    baselines = Artifact(data / "evaluations" / "dense").json("metrics.json")["baselines"]
    for baseline, splits in baselines.items():
        scores = splits["test"]["scores"]
        f1 = None if name in F1_CLASSES else scores["macro_f1"]
        rows.append({"data": name, "model": baseline, "accuracy": scores["accuracy"], "f1": f1})
    return rows, verdict


def class_f1(report: Mapping[str, Any], class_name: str) -> float:
    """The F1 of one class, or the macro average without a class name."""
    table = {row["class"]: row["f1"] for row in report["per_class"]}
    return float(table[class_name] if class_name else report["averages"]["macro"]["f1"])
