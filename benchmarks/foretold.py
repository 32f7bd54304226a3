"""How well a small model foretells the next piece of a packaged sentence, beside counting, and what it writes by itself."""

from __future__ import annotations

from benchmarks import record
from benchmarks.scene import scene
from tasks.core.artifacts import Artifact

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
    with scene("nlp", SETTINGS, RECIPES) as place:
        for stage in ("fetch", "clean", "augment", "train"):
            place.play(stage, "nlp")
        fitting = next(event for event in place.events("train", "nlp") if event["event"] == "cost")
        for recipe in RECIPES:
            place.play("compress", "nlp", recipe)
            place.play("evaluate", "nlp", recipe)
        data = place.root / "data" / "nlp"
        metrics = {recipe: Artifact(data / "evaluations" / recipe).json("metrics.json") for recipe in RECIPES}
        written = Artifact(data / "model").json("report.json")["shown"]["written"]
    rows = [
        {"model": recipe, **found["splits"]["test"]["scores"], "size_share": found["bytes_share"]}
        for recipe, found in metrics.items()
    ]
    rows += [{"model": name, **found["test"]["scores"]} for name, found in metrics["dense"]["baselines"].items()]
    record.write(
        "foretold",
        f"Next pieces of {ROWS:,} packaged sentences, fitted in {fitting['cpu_s']:.0f} CPU-seconds; test rows. "
        f"It writes: {' / '.join(written)}",
        rows,
        written=written,
    )
