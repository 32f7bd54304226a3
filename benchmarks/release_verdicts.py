"""How real data sets end: the verdict of each use case on public data, and of the quick preset, with its sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, kept_workspace, temporary_workspace
from dashboard.analysis.parameter_fields import QUICK, QUICK_RECIPES
from tasks.core.storage.artifacts import Artifact

TEXT_SETTINGS = {"training.epochs": 8, "training.batch_size": 64, "training.learning_rate": 0.005, "training.weight_decay": 2.0}
DATA_SETS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "digits": ("vision", {}, False),
    "SMS spam": ("nlp", {"fetch.dataset": "sms_spam", **TEXT_SETTINGS, "contract.min_speedup": 0.4}, True),
    "AG News": ("nlp", {"fetch.dataset": "ag_news", "training.learning_rate": 0.005, "training.weight_decay": 2.0}, True),
    "credit, Taiwan": ("credit", {"fetch.dataset": "taiwan"}, True),
    "credit, Germany": ("credit", {"fetch.dataset": "german", "training.batch_size": 32}, True),
    "prices": ("finance", {}, False),
}
"""By name: the use case, its settings, and whether BONSAI_DATASETS must name the folder with its files."""
QUICK_USE_CASES = ("vision", "nlp", "finance")


NAME = "release_verdicts"
CHOICE, FOLDER = "BONSAI_VERDICTS", "BONSAI_VERDICTS_FOLDER"
"""The environment variable that names the rows to measure, with semicolons between; otherwise all that have none yet."""


def main() -> None:
    """Run data sets through all stages, and the quick preset of each use case; write verdicts and sentences, row by row.

    A row is kept once it is measured, so that an interrupted measurement goes on where it was.
    """
    measurements: dict[str, tuple[str, Mapping[str, Any], tuple[str, ...], bool]] = {
        name: (use_case, settings, (), elsewhere) for name, (use_case, settings, elsewhere) in DATA_SETS.items()
    }
    measurements |= {f"{name}, quick": (name, QUICK, ("dense", *QUICK_RECIPES), False) for name in QUICK_USE_CASES}
    kept, chosen = kept_rows(), os.environ.get(CHOICE)
    names = [name.strip() for name in chosen.split(";")] if chosen else [name for name in measurements if name not in kept]
    for name in names:
        use_case, settings, recipes, elsewhere = measurements[name]
        if elsewhere and not os.environ.get("BONSAI_DATASETS"):
            print(f"skipped {name}: BONSAI_DATASETS names no folder with its files, and benchmarks do not download")
            continue
        row = verdict_row(name, use_case, settings, recipes)
        rows = {**kept_rows(), name: row}  # another process may have measured others meanwhile
        ordered = [rows[each] for each in measurements if each in rows]
        record.write(NAME, "The verdict of each data set, with the terms of its contract as they stand.", ordered)


def kept_rows() -> dict[str, dict[str, Any]]:
    """The rows that the results hold already, by name."""
    path = record.RESULTS / f"{NAME}.json"
    return {row["data"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}


def verdict_row(name: str, use_case: str, settings: Mapping[str, Any], recipes: tuple[str, ...]) -> dict[str, Any]:
    """One data set through all stages: its verdict, what was released, and the sentence."""
    with ExitStack() as stack:
        if folder := os.environ.get(FOLDER):
            workspace = kept_workspace(Path(folder), use_case, settings, recipes)
        else:
            workspace = stack.enter_context(temporary_workspace(use_case, settings, recipes))
        cpu_s = run_pipeline(workspace, use_case)
        release = Artifact(workspace.root / "data" / use_case / "release")
        verdict, table = release.json("verdict.json"), release.json("table.json")
    row = {
        "data": name,
        "test rows": verdict["decision"]["rows"],
        "verdict": verdict["verdict"],
        "released": verdict["released"] or "",
        "dense": next(each["value"] for each in table["rows"] if each["recipe"] == "dense"),
        "own": next((each["value"] for each in table["rows"] if each["chosen"]), None),
        "cpu_s": round(cpu_s),
        "code": record.machine()["code"],
        "sentence": verdict["reason"],
    }
    print(row, flush=True)
    return row


def run_pipeline(workspace: StageWorkspace, use_case: str) -> float:
    """All stages of the use case, one after the other, without those that have finished; returns the CPU seconds of all."""
    stages = [(stage, "") for stage in ("fetch", "clean", "augment", "baselines", "train")]
    stages += [(stage, recipe) for stage in ("compress", "evaluate") for recipe in workspace.recipes()]
    stages += [("latency", ""), ("release", "")]
    return sum(float(workspace.resume_stage(stage, use_case, recipe)["cpu_s"]) for stage, recipe in stages)


if __name__ == "__main__":
    main()
