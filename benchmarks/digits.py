"""Test accuracy of the dense network on the packaged digits, over several seeds."""

from __future__ import annotations

import statistics

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace

SEEDS = (1, 2, 3)


def main() -> None:
    rows = []
    for seed in SEEDS:
        with temporary_workspace("vision", {"training.seed": seed}) as workspace:
            for stage in ("fetch", "clean", "augment", "baselines"):
                workspace.run_stage(stage, "vision")
            cost = workspace.run_stage("train", "vision")
            workspace.run_stage("compress", "vision", "dense")
            workspace.run_stage("evaluate", "vision", "dense")
            fitting = next(event for event in workspace.events("train", "vision") if event["event"] == "cost")
            rows.append(
                {
                    "seed": seed,
                    "test_accuracy": workspace.main_metric("vision", "dense"),
                    "fit_cpu_s": fitting["cpu_s"],
                    "stage_cpu_s": cost["cpu_s"],
                }
            )
    mean = statistics.mean(row["test_accuracy"] for row in rows)
    record.write("digits", f"Dense test accuracy, mean of {len(SEEDS)} seeds: {mean:.4f}.", rows, mean=mean)
