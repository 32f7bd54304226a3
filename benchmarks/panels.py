"""The panels of 31 and 88 shares through the clean stage, every row accounted for; and whether a network helps on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import record
from benchmarks.scene import scene
from tasks.core.artifacts import Artifact

SETTINGS = {"model": {"architecture": "har_mlp", "hidden": 0}, "training.epochs": 6, "training.learning_rate": 0.01}
PANELS = ("djia", "stocknet")


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with the panels, and benchmarks do not download")
        return
    found = []
    for name in PANELS:
        with scene("finance", {"fetch.dataset": name, **SETTINGS}, ("dense",)) as place:
            for stage in ("fetch", "clean", "augment", "train"):
                place.play(stage, "finance")
            place.play("compress", "finance", "dense")
            place.play("evaluate", "finance", "dense")
            found.append(look(name, place.root / "data" / "finance"))
        tell(found)


Found = tuple[str, dict[str, Any], dict[str, Any]]
"""A panel's line of the table, by name, and its ledger."""


def look(name: str, data: Path) -> Found:
    """What the stages left of one panel."""
    ledger = Artifact(data / "clean").json("ledger.json")
    metrics = Artifact(data / "evaluations" / "dense").json("metrics.json")
    shares = pd.read_parquet(data / "clean" / "rows", columns=["ticker"])["ticker"].nunique()
    return name, line(name, shares, ledger, metrics), ledger


def tell(found: Sequence[Found]) -> None:
    """Write what is known so far."""
    record.write(
        "panels",
        "Panels of shares as published: what became of their rows, and a small network's QLIKE on the last 15 % of days.",
        [row for _, row, _ in found],
        ledgers={name: ledger for name, _, ledger in found},
    )


def line(name: str, shares: int, ledger: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    """One panel: its ledger in short, and the network beside its best rival."""
    gains = metrics["against_rivals"]["test"]["gains"]
    best = min(gains, key=lambda rival: float(gains[rival]["value"]))
    assert ledger["rows_in"] == ledger["kept"] + ledger["quarantined"] + ledger["duplicates"]
    return {
        "panel": name,
        "shares": shares,
        "rows_in": ledger["rows_in"],
        "kept": ledger["kept"],
        "quarantined": ledger["quarantined"],
        "duplicates": ledger["duplicates"],
        "reasons": told(ledger["reasons"]),
        "fixes": told(ledger["fixes"]),
        "test_rows": metrics["splits"]["test"]["rows"],
        "qlike": metrics["splits"]["test"]["scores"]["qlike"],
        "best_rival": best,
        "rival_qlike": metrics["baselines"][best]["test"]["scores"]["qlike"],
        "DM p": gains[best]["p"],
    }


def told(counts: dict[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in counts.items())
