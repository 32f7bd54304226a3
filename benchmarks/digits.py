"""How well the dense network reads digits it has never seen: several seeds on the packaged rows."""

from __future__ import annotations

import statistics

from benchmarks import record
from benchmarks.scene import scene

SEEDS = (1, 2, 3)


def main() -> None:
    rows = []
    for seed in SEEDS:
        with scene("vision", {"training.seed": seed}) as place:
            for stage in ("fetch", "clean", "augment"):
                place.play(stage, "vision")
            cost = place.play("train", "vision")
            place.play("compress", "vision", "dense")
            place.play("evaluate", "vision", "dense")
            fitting = next(event for event in place.events("train", "vision") if event["event"] == "cost")
            rows.append(
                {
                    "seed": seed,
                    "test_accuracy": place.result("vision", "dense"),
                    "fit_cpu_s": fitting["cpu_s"],
                    "stage_cpu_s": cost["cpu_s"],
                }
            )
    mean = statistics.mean(row["test_accuracy"] for row in rows)
    record.write("digits", f"Dense test accuracy, mean of {len(SEEDS)} seeds: {mean:.4f}.", rows, mean=mean)
