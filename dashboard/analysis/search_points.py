"""Tables for the charts of searches: the points of recipes, the region of the contract, and the best value so far."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from dashboard.readers.searches.recipe_trials import Trials
from dashboard.readers.searches.tuning_trials import StudyReport
from flows.recipe_search.trial_results import Tried

Cost = Literal["bytes", "ms"]
COSTS: tuple[Cost, ...] = ("bytes", "ms")
GROUPS = ("front", "dominated", "partial")


def recipe_points(trials: Trials, cost: Cost, lines: dict[str, str]) -> pd.DataFrame:
    """One row per recipe: cost, drop with its interval, its group (`front`, `dominated`, `partial`) and `lines` by steps."""
    groups: dict[str, list[Tried]] = {"partial": trials.partial, "dominated": trials.dominated, "front": trials.front}
    rows = [
        (group, lines.get(str(one.recipe), ""), cost_of(one, cost), one.result.drop, one.result.drop_low, one.result.drop_high)
        for group, members in groups.items()
        for one in members
    ]
    return pd.DataFrame(rows, columns=["group", "recipe", "cost", "drop", "drop_low", "drop_high"])


def stairs(trials: Trials, cost: Cost) -> pd.DataFrame:
    """The front of drop against this cost alone, from the least cost on: columns cost, drop."""
    least, rows = float("inf"), []
    for one in sorted(trials.front, key=lambda one: (cost_of(one, cost), one.result.drop)):
        if one.result.drop < least:
            least = one.result.drop
            rows.append((cost_of(one, cost), least))
    return pd.DataFrame(rows, columns=["cost", "drop"])


def allowed_cost(trials: Trials, cost: Cost) -> float | None:
    """The most that the contract allows of this cost, from the measured share of dense's; None before a trial in full."""
    full = [*trials.front, *trials.dominated]
    if not full:
        return None
    result = full[0].result
    if cost == "bytes":
        return trials.contract.max_size_share * result.bytes / result.size_share if result.size_share else None
    return result.ms * result.speedup / trials.contract.min_speedup if trials.contract.min_speedup else None


def cost_of(one: Tried, cost: Cost) -> float:
    return float(one.result.bytes if cost == "bytes" else one.result.ms)


def tuning_points(report: StudyReport) -> pd.DataFrame:
    """One row per completed trial in its order: number, value, and the best value up to it."""
    rows, best = [], None
    choose = max if report.higher_is_better else min
    for each in report.completed:
        value = float(each.value or 0.0)
        best = value if best is None else choose(best, value)
        rows.append((each.number, value, best))
    return pd.DataFrame(rows, columns=["trial", "value", "best"])
