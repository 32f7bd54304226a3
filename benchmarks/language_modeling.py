"""Perplexity of a small language model on packaged sentences, n-gram baselines beside it, and samples of what it generates."""

from __future__ import annotations

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core.storage.artifacts import Artifact

ROWS = 8000
RECIPES = ("dense", "int8")
SETTINGS = {
    "fetch.limit": ROWS,
    "model.task": "words",
    "training.epochs": 6,
    "training.batch_size": 16,
    "training.learning_rate": 0.008,
    "training.weight_decay": 0.01,
}


def main() -> None:
    with temporary_workspace("nlp", SETTINGS, RECIPES) as workspace:
        for stage in ("fetch", "clean", "augment", "train", "baselines"):
            workspace.run_stage(stage, "nlp")
        fitting = next(event for event in workspace.events("train", "nlp") if event["event"] == "cost")
        for recipe in RECIPES:
            workspace.run_stage("compress", "nlp", recipe)
            workspace.run_stage("evaluate", "nlp", recipe)
        data = workspace.root / "data" / "nlp"
        metrics = {recipe: Artifact(data / "evaluations" / recipe).json("metrics.json") for recipe in RECIPES}
        samples = Artifact(data / "model").json("report.json")["shown"]["written"]
    rows = [
        {"model": recipe, **evaluation["splits"]["test"]["scores"], "size_share": evaluation["bytes_share"]}
        for recipe, evaluation in metrics.items()
    ]
    rows += [{"model": name, **evaluation["test"]["scores"]} for name, evaluation in metrics["dense"]["baselines"].items()]
    record.write(
        "language_modeling",
        f"Next pieces of {ROWS:,} packaged sentences, fitted in {fitting['cpu_s']:.0f} CPU-seconds; test rows. "
        f"It writes: {' / '.join(samples)}",
        rows,
        written=samples,
    )
