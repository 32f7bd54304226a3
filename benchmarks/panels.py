"""The panels of 31 and 88 shares through the clean stage, every row accounted for; and whether a network helps on them."""

from __future__ import annotations

import os
from typing import Any

from benchmarks import record
from benchmarks.scene import scene
from tasks.workspace import Artifact, Table

SETTINGS = {"model": {"architecture": "har_mlp", "hidden": 0}, "training.epochs": 6, "training.learning_rate": 0.01}
PANELS = ("djia", "stocknet")


def main() -> None:
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with the panels, and benchmarks do not download")
        return
    rows, ledgers = [], {}
    for name in PANELS:
        with scene("finance", {"fetch.dataset": name, **SETTINGS}, ("dense",)) as place:
            for stage in ("fetch", "clean", "augment", "train"):
                place.play(stage, "finance")
            place.play("compress", "finance", "dense")
            place.play("evaluate", "finance", "dense")
            data = place.root / "data" / "finance"
            ledger = ledgers[name] = Artifact(data / "clean").json("ledger.json")
            metrics = Artifact(data / "evaluations" / "dense").json("metrics.json")
            shares = Table(data / "clean" / "rows").read(["ticker"])["ticker"].nunique()
        rows.append(line(name, shares, ledger, metrics))
    record.write(
        "panels",
        "Panels of shares as published: what became of their rows, and a small network's QLIKE on the last 15 % of days.",
        rows,
        ledgers=ledgers,
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
