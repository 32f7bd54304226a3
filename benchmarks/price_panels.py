"""Panels of 31 and 88 shares: row counts of the clean stage, and a network's QLIKE beside the baselines'."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core.storage.artifacts import Artifact

SETTINGS = {"model": {"architecture": "har_mlp", "hidden": 0}, "training.epochs": 6, "training.learning_rate": 0.01}
PANELS = ("djia", "stocknet")


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with the panels, and benchmarks do not download")
        return
    results = []
    for name in PANELS:
        with temporary_workspace("finance", {"fetch.dataset": name, **SETTINGS}, ("dense",)) as workspace:
            for stage in ("fetch", "clean", "augment", "train", "baselines"):
                workspace.run_stage(stage, "finance")
            workspace.run_stage("compress", "finance", "dense")
            workspace.run_stage("evaluate", "finance", "dense")
            results.append(panel_result(name, workspace.root / "data" / "finance"))
        write_results(results)


PanelResult = tuple[str, dict[str, Any], dict[str, Any]]
"""A panel's name, its row of the table, and its data quality report."""


def panel_result(name: str, data: Path) -> PanelResult:
    """The results of one panel from the artifacts below `data`."""
    quality_report = Artifact(data / "clean").json("ledger.json")
    metrics = Artifact(data / "evaluations" / "dense").json("metrics.json")
    shares = pd.read_parquet(data / "clean" / "rows", columns=["ticker"])["ticker"].nunique()
    return name, panel_row(name, shares, quality_report, metrics), quality_report


def write_results(results: Sequence[PanelResult]) -> None:
    """Write the results of the panels measured so far."""
    record.write(
        "price_panels",
        "Panels of shares as published: what became of their rows, and a small network's QLIKE on the last 15 % of days.",
        [row for _, row, _ in results],
        quality_reports={name: quality_report for name, _, quality_report in results},
    )


def panel_row(name: str, shares: int, quality_report: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    """One row of the table: the panel's row counts, and the network beside its best baseline."""
    gains = metrics["against_rivals"]["test"]["gains"]
    best = min(gains, key=lambda name: float(gains[name]["value"]))
    assert quality_report["rows_in"] == quality_report["kept"] + quality_report["quarantined"] + quality_report["duplicates"]
    return {
        "panel": name,
        "shares": shares,
        "rows_in": quality_report["rows_in"],
        "kept": quality_report["kept"],
        "quarantined": quality_report["quarantined"],
        "duplicates": quality_report["duplicates"],
        "reasons": counts_text(quality_report["reasons"]),
        "fixes": counts_text(quality_report["fixes"]),
        "test_rows": metrics["splits"]["test"]["rows"],
        "qlike": metrics["splits"]["test"]["scores"]["qlike"],
        "best_rival": best,
        "rival_qlike": metrics["baselines"][best]["test"]["scores"]["qlike"],
        "DM p": gains[best]["p"],
    }


def counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in counts.items())
