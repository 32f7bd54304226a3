"""Model quality against cost: the Pareto front of the recipes, and the region in which the contract is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dashboard.readers.artifact_models import Row, Speedup, Table, Verdict
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from tasks.core.compression import DENSE, EAGER

Cost = Literal["latency_1", "latency_64", "size"]
COSTS: tuple[Cost, ...] = ("latency_1", "latency_64", "size")


@dataclass(frozen=True, slots=True)
class Region:
    """The contract's bounds on the axes of the chart: highest cost, and worst metric value."""

    cost: float
    value: float


def points(table: Table, cost: Cost, spans: Mapping[str, tuple[float, float]] | None = None) -> pd.DataFrame:
    """One row per recipe: recipe, cost and value, both with low and high, and status; `spans` holds the cost intervals."""
    nothing = (None, None)
    rows = [
        {
            "recipe": row.recipe,
            "cost": cost_of(row, cost),
            "cost_low": (spans or {}).get(row.recipe, nothing)[0],
            "cost_high": (spans or {}).get(row.recipe, nothing)[1],
            "value": row.value,
            "low": row.low,
            "high": row.high,
            "status": "chosen" if row.chosen else row.status,
            "kind": row.kind,
        }
        for row in table.rows
    ]
    columns = ["recipe", "cost", "cost_low", "cost_high", "value", "low", "high", "status", "kind"]
    frame = pd.DataFrame(rows, columns=columns).dropna(subset=["cost"])
    return frame.sort_values("cost", ignore_index=True)


def cost_intervals(artifacts: Artifacts, table: Table, cost: Cost) -> dict[str, tuple[float, float]]:
    """Confidence interval of each recipe's median latency; empty for the size, which is exact."""
    intervals: dict[str, tuple[float, float]] = {}
    for row in table.rows if cost != "size" else ():
        with suppress(Unreadable, KeyError):  # the latency view reports it
            figure = artifacts.latency().variants[row.recipe].batches[cost.rpartition("_")[2]]
            if figure.high_ms:
                intervals[row.recipe] = (figure.low_ms, figure.high_ms)
    return intervals


def front(frame: pd.DataFrame, *, higher: bool = True) -> pd.DataFrame:
    """The Pareto front, cheapest first: recipe, cost, value."""
    best, kept = None, []
    for _, row in frame.sort_values(["cost", "value"], ascending=[True, not higher]).iterrows():
        if best is None or (row["value"] > best if higher else row["value"] < best):
            best = row["value"]
            kept.append({"recipe": row["recipe"], "cost": row["cost"], "value": row["value"]})
    return pd.DataFrame(kept, columns=["recipe", "cost", "value"])


def contract_region(table: Table, verdict: Verdict, cost: Cost, *, higher: bool = True) -> Region | None:
    """The region in which the contract is met; None if it does not bound this cost."""
    dense = next((row for row in table.rows if row.recipe == DENSE), None)
    if dense is None:
        return None
    own, contract = cost_of(dense, cost), verdict.contract
    share, speedup, drop = (_number(contract.get(term)) for term in ("max_size_share", "min_speedup", "max_drop"))
    share = share if cost == "size" else _share_of_time(speedup)
    if own is None or share is None or drop is None:
        return None
    return Region(own * share, dense.value - drop if higher else dense.value + drop)


def cost_of(row: Row, cost: Cost) -> float | None:
    """A recipe's cost: milliseconds, or bytes."""
    if cost == "size":
        return float(row.bytes)
    return row.latency_ms.get(cost.rpartition("_")[2], {}).get("median_ms")


def speedup(row: Row, over: str, batch: str = "1") -> Speedup | None:
    """Speed-up over the dense file, or over PyTorch."""
    return row.speedup_over.get(over, {}).get(batch)


def recipe_table(rows: Sequence[Row], seconds: dict[str, float]) -> pd.DataFrame:
    """The comparison table, a row per recipe; `seconds` holds the build time of each."""
    lines = []
    for row in rows:
        dense, eager = speedup(row, DENSE), speedup(row, EAGER)
        lines.append(
            {
                "recipe": row.recipe,
                "kind": row.kind,
                "status": "chosen" if row.chosen else row.status,
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "drop": row.drop.value if row.drop else None,
                "drop_low": row.drop.low if row.drop else None,
                "drop_high": row.drop.high if row.drop else None,
                "latency_1": cost_of(row, "latency_1"),
                "latency_64": cost_of(row, "latency_64"),
                "over_dense": dense.ratio if dense else None,
                "over_eager": eager.ratio if eager else None,
                "bytes": row.bytes,
                "size_share": row.size_share,
                "parameters": row.parameters,
                "seconds": seconds.get(row.recipe),
            }
        )
    return pd.DataFrame(lines)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _share_of_time(least: float | None) -> float | None:
    return 1 / least if least else None
