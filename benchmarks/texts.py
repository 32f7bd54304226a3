"""Public texts through the whole use case: how good dense and released are, beside classic rivals on the same rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.scene import Scene, scene
from tasks.core.artifacts import Artifact

RECIPES = ("dense", "int8", "pruned-int8")
COUNTS = ("rows_in", "kept", "quarantined", "duplicates", "reasons", "fixes", "leaks")
SETTINGS = Path(__file__).parent / "texts.yaml"
RARE = {"sms_spam": "spam"}
"""Data sets that are judged by the F1 of one class."""


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with ag_news/*.xz and text/*.gz, and benchmarks do not download")
        return
    for name, overrides in record.settings(SETTINGS).items():
        with scene("nlp", {"fetch.dataset": name, **overrides}, RECIPES) as place:
            rows, verdict = played(place, name)
        record.write(f"texts_{name}", f"Test rows, settings chosen on validation. {verdict['headline']}", rows, verdict=verdict)


def played(place: Scene, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All stages of one data set; its lines of the table, and its verdict with the ledger's counts."""
    for stage in ("fetch", "clean", "augment", "train"):
        place.play(stage, "nlp")
    for recipe in RECIPES:
        place.play("compress", "nlp", recipe)
        place.play("evaluate", "nlp", recipe)
    place.play("release", "nlp")
    data = place.root / "data" / "nlp"
    release = Artifact(data / "release")
    verdict = release.json("verdict.json")
    ledger = Artifact(data / "clean").json("ledger.json")
    verdict["ledger"] = {
        key: ledger[key] for key in ("rows_in", "kept", "quarantined", "duplicates", "reasons", "fixes", "leaks")
    }
    noise = Artifact(data / "evaluations" / "dense").json("metrics.json")["splits"]["test"]["report"]["label_noise"]
    verdict["label_noise"] = {key: value for key, value in noise.items() if key != "rows"}
    fitting = next(event for event in place.events("train", "nlp") if event["event"] == "cost")
    rows = []
    for row in release.json("table.json")["rows"]:
        report = Artifact(data / "evaluations" / row["recipe"]).json("metrics.json")["splits"]["test"]["report"]
        times = {other: found["1"]["ratio"] for other, found in row["speedup_over"].items()}
        rows.append(
            {
                "data": name,
                "model": row["recipe"] + (" (released)" if row["chosen"] else ""),
                "accuracy": row["value"],
                "f1": of_class(report, RARE.get(name, "")),
                "drop": row["drop"]["value"] if row["drop"] else None,
                "bytes": row["bytes"],
                "size_share": row["size_share"],
                "times_eager": times.get("eager PyTorch"),
                "fit_cpu_s": fitting["cpu_s"] if row["recipe"] == "dense" else None,
            }
        )
    baselines = Artifact(data / "evaluations" / "dense").json("metrics.json")["baselines"]
    for rival, splits in baselines.items():
        scores = splits["test"]["scores"]
        f1 = None if name in RARE else scores["macro_f1"]
        rows.append({"data": name, "model": rival, "accuracy": scores["accuracy"], "f1": f1})
    return rows, verdict


def of_class(report: Mapping[str, Any], rare: str) -> float:
    """The F1 of the class that counts, or of all classes on average."""
    table = {row["class"]: row["f1"] for row in report["per_class"]}
    return float(table[rare] if rare else report["averages"]["macro"]["f1"])
