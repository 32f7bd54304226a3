"""Has the distribution of a statistic changed? One sequential test per statistic, with one bound on false alarms for all.

The evidence of a statistic is the wealth of bets against its conformal p-values. An alarm is raised where it exceeds the number
of statistics divided by alpha (Bonferroni), so that the probability of any false alarm, however long one watches, is at most
alpha. That holds while rows come in an order that says nothing, as independent requests do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.monitoring import bets
from tasks.monitoring.cells import Cells, p_values
from tasks.monitoring.wealth import Wealth

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

BLOCK_ROWS = 2000


@dataclass(slots=True)
class DriftTest:
    """The tests of all statistics of a model, and what they have seen; plain JSON values keep it between two looks."""

    cells: dict[str, Cells]
    """By statistic: the cells with the counts of the reference."""
    counts: dict[str, NDArray[np.int64]]
    """By statistic: reference rows and all rows since, by cell."""
    wealth: Wealth
    history: Floats
    """(H, K): the last p-values, for the bets that learn."""
    seed: int = 7
    highest: Floats = field(default_factory=lambda: np.zeros(0))
    """(K,): the natural logarithm of the most evidence that each statistic has had."""

    @classmethod
    def start(cls, cells: Mapping[str, Cells], seed: int = 7) -> DriftTest:
        """Tests that have seen nothing."""
        names = sorted(cells)
        return cls(
            {name: cells[name] for name in names},
            {name: cells[name].counts.copy() for name in names},
            Wealth.of(len(names), bets.BETS),
            np.zeros((0, len(names))),
            seed,
            np.zeros(len(names)),
        )

    @property
    def names(self) -> list[str]:
        return list(self.cells)

    def threshold(self, alpha: float) -> float:
        """The natural logarithm of the evidence from which a statistic raises an alarm."""
        return float(np.log(max(len(self.cells), 1) / alpha))

    def update(self, rows: DataFrame) -> Floats:
        """Take T rows, with a column per statistic, into account; returns the log evidence after each row, (T, K).

        A statistic whose column is missing, as for rows of another version, counts as missing in every row.
        """
        blocks = [self._block(rows.iloc[at : at + BLOCK_ROWS]) for at in range(0, len(rows), BLOCK_ROWS)]
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.cells)))

    def _block(self, rows: DataFrame) -> Floats:
        generator = np.random.default_rng([self.seed, self.wealth.seen])
        uniforms = generator.random((len(rows), len(self.cells)))
        columns = []
        for place, (name, cells) in enumerate(self.cells.items()):
            places = cells.of(
                rows[name].to_numpy() if name in rows else [None] * len(rows) if cells.values else [np.nan] * len(rows)
            )
            columns.append(p_values(self.counts[name], places, uniforms[:, place]))
            self.counts[name] = self.counts[name] + np.bincount(places, minlength=len(cells.counts))
        p = np.stack(columns, 1) if columns else np.zeros((len(rows), 0))
        evidence = self.wealth.update(bets.on_p_values(p, self.history))
        self.history = np.concatenate([self.history, p])[-bets.HISTORY :]
        if evidence.size:
            self.highest = np.maximum(self.highest, evidence.max(0))
        return evidence

    def as_json(self) -> dict[str, Any]:
        return {
            "counts": {name: counts.tolist() for name, counts in self.counts.items()},
            "running": [[None if np.isneginf(value) else float(value) for value in row] for row in self.wealth.running],
            "seen": self.wealth.seen,
            "history": np.round(self.history, 6).tolist(),
            "seed": self.seed,
            "highest": self.highest.tolist(),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], cells: Mapping[str, Cells]) -> DriftTest:
        """The tests as they were; `cells` must be those that they were started with."""
        test = cls.start(cells, int(entry["seed"]))
        test.counts = {name: np.array(entry["counts"][name], np.int64) for name in test.cells}
        running = [[-np.inf if value is None else value for value in row] for row in entry["running"]]
        test.wealth = Wealth(np.array(running, np.float64).reshape(len(test.cells), bets.BETS), int(entry["seen"]))
        test.history = np.array(entry["history"], np.float64).reshape(len(entry["history"]), len(test.cells))
        test.highest = np.array(entry["highest"], np.float64)
        return test


@dataclass(slots=True)
class LimitTest:
    """Does a mean of values in 0..1, such as the share of slow requests, exceed its limit? Values may depend on each other."""

    limits: dict[str, float]
    """By name: the largest mean that is allowed, above 0 and below 1."""
    wealth: Wealth
    highest: Floats
    sums: Floats
    """(K,): the sum of all values so far."""

    @classmethod
    def start(cls, limits: Mapping[str, float]) -> LimitTest:
        count = len(limits)
        return cls(dict(limits), Wealth.of(count, len(bets.SHARES_OF_LIMIT)), np.zeros(count), np.zeros(count))

    def update(self, values: Floats) -> Floats:
        """Take values (T, K) into account; returns the log evidence after each, (T, K)."""
        evidence = self.wealth.update(bets.on_mean(values, np.array(list(self.limits.values()))))
        if evidence.size:
            self.highest = np.maximum(self.highest, evidence.max(0))
            self.sums = self.sums + values.sum(0)
        return evidence

    def as_json(self) -> dict[str, Any]:
        running = [[None if np.isneginf(value) else float(value) for value in row] for row in self.wealth.running]
        return {
            "limits": self.limits,
            "running": running,
            "seen": self.wealth.seen,
            "highest": self.highest.tolist(),
            "sums": self.sums.tolist(),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> LimitTest:
        test = cls.start(entry["limits"])
        running = [[-np.inf if value is None else value for value in row] for row in entry["running"]]
        test.wealth = Wealth(np.array(running, np.float64).reshape(test.wealth.running.shape), int(entry["seen"]))
        test.highest, test.sums = np.array(entry["highest"], np.float64), np.array(entry["sums"], np.float64)
        return test
