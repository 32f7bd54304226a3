"""What was measured of one term of the contract: its value, its confidence bound, and the p-value of "the term is broken"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist, stdev
from typing import TYPE_CHECKING

import numpy as np

from tasks.evaluation import statistics
from tasks.release.paired_tests import POWER, PairedDrop

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Evidence(ABC):
    """A measured value, held against the `allowed` one; the term is "at most allowed" or "at least allowed"."""

    allowed: float
    value: float

    @abstractmethod
    def bound(self, level: float) -> float:
        """The one-sided confidence bound on the side where the term would be broken."""

    @abstractmethod
    def p_value(self) -> float:
        """The p-value of the hypothesis that the term is broken; a small one shows that it is kept."""

    def needs(self, level: float) -> dict[str, int]:
        """About how many rows or processes would show that the term is kept, as measured; empty if no number would."""
        return {}


@dataclass(frozen=True, slots=True)
class Counted(Evidence):
    """A value that is counted, such as bytes: known without error."""

    allowed: float
    value: float

    def bound(self, level: float) -> float:
        return self.value

    def p_value(self) -> float:
        return 0.0 if self.value <= self.allowed else 1.0


@dataclass(frozen=True, slots=True)
class Blockers(Evidence):
    """Reasons that forbid a release whatever the scores are, such as a risk forecast that fails its coverage test."""

    reasons: tuple[str, ...]

    @property
    def allowed(self) -> float:  # type: ignore[override]
        return 0.0

    @property
    def value(self) -> float:  # type: ignore[override]
        return float(len(self.reasons))

    def bound(self, level: float) -> float:
        return self.value

    def p_value(self) -> float:
        return float(bool(self.reasons))


@dataclass(frozen=True, slots=True)
class Drop(Evidence):
    """The drop of a score against another model on the same rows; at most `allowed`."""

    allowed: float
    drop: PairedDrop

    @property
    def value(self) -> float:  # type: ignore[override]
        return self.drop.value

    def bound(self, level: float) -> float:
        return self.drop.upper(level)

    def p_value(self) -> float:
        return self.drop.p_value(self.allowed)

    def needs(self, level: float) -> dict[str, int]:
        rows = self.drop.rows_needed(self.allowed, level)
        return {"rows": max(rows, self.drop.rows + 1)} if rows else {}


@dataclass(frozen=True, slots=True)
class LargestDrop(Evidence):
    """The largest of several drops, such as those of the classes; each at most `allowed`.

    All must be shown, so the largest p-value counts and needs no correction (R. Berger, Technometrics 24, 1982).
    """

    allowed: float
    drops: tuple[PairedDrop, ...]

    @property
    def value(self) -> float:  # type: ignore[override]
        return max(drop.value for drop in self.drops)

    def bound(self, level: float) -> float:
        return max(drop.upper(level) for drop in self.drops)

    def p_value(self) -> float:
        return max(drop.p_value(self.allowed) for drop in self.drops)

    def needs(self, level: float) -> dict[str, int]:
        """Rows in all, if the share of each class stays the same."""
        total, factor = sum(drop.rows for drop in self.drops), 1.0
        for drop in self.drops:
            rows = drop.rows_needed(self.allowed, level)
            if rows is None:
                return {}
            factor = max(factor, rows / drop.rows)
        return {"rows": max(ceil(total * factor), total + 1)}


@dataclass(frozen=True, slots=True)
class Floor(Evidence):
    """A score, the mean of row values (N,); at least `allowed`, or at most where lower is better."""

    allowed: float
    rows: NDArray[np.float64]
    higher_is_better: bool = True

    @property
    def value(self) -> float:  # type: ignore[override]
        return float(self.rows.mean())

    def bound(self, level: float) -> float:
        interval = statistics.mean_interval(self.rows, 2 * level - 1)
        return interval.low if self.higher_is_better else interval.high

    def p_value(self) -> float:
        """Exact binomial for zeros and ones, else normal with the standard error of the rows."""
        if statistics.is_binary(self.rows) and self.higher_is_better:
            from scipy.stats import binom

            return float(binom.sf(self.rows.sum() - 1, len(self.rows), min(max(self.allowed, 0.0), 1.0)))
        error = self._spread() / sqrt(len(self.rows))
        return 1 - NormalDist().cdf(self._room() / error) if error else float(self._room() < 0)

    def needs(self, level: float) -> dict[str, int]:
        if self._room() <= 0:
            return {}
        quantiles = NormalDist().inv_cdf(level) + NormalDist().inv_cdf(POWER)
        return {"rows": max(ceil((quantiles * self._spread() / self._room()) ** 2), len(self.rows) + 1)}

    def _room(self) -> float:
        return (self.value - self.allowed) * (1 if self.higher_is_better else -1)

    def _spread(self) -> float:
        return float(self.rows.std(ddof=1)) if len(self.rows) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class LargestGap(Evidence):
    """The largest difference of a share between two groups of rows; at most `allowed`.

    Normal intervals for the difference of two independent shares, with one success and one failure added to each group
    (A. Agresti, B. Caffo, The American Statistician 54, 2000). All pairs must be shown, so the largest p-value counts.
    """

    allowed: float
    pairs: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    """The row values, zeros and ones, of both groups of each pair."""

    @property
    def value(self) -> float:  # type: ignore[override]
        return max((abs(float(one.mean() - other.mean())) for one, other in self.pairs), default=0.0)

    def bound(self, level: float) -> float:
        quantile = NormalDist().inv_cdf(level)
        return max((gap + quantile * error for gap, error in self._gaps()), default=0.0)

    def p_value(self) -> float:
        return max((1 - NormalDist().cdf((self.allowed - gap) / error) for gap, error in self._gaps()), default=0.0)

    def _gaps(self) -> list[tuple[float, float]]:
        gaps = []
        for pair in self.pairs:
            shares = [(float(group.sum()) + 1) / (len(group) + 2) for group in pair]
            variance = sum(share * (1 - share) / (len(group) + 2) for share, group in zip(shares, pair, strict=True))
            gaps.append((abs(shares[0] - shares[1]), sqrt(variance)))
        return gaps


@dataclass(frozen=True, slots=True)
class ProcessTimes(Evidence):
    """A time or a ratio of times, measured once in each of several processes (P,), compared on a log scale.

    Student's t over processes: the rounds of one process share its memory layout, so they are no independent measurements
    (T. Kalibera, R. Jones, ISMM 2013).
    """

    allowed: float
    processes: tuple[float, ...]
    at_least: bool
    """Whether the term is "at least allowed", as for a speed-up, not "at most", as for a time."""

    @property
    def value(self) -> float:  # type: ignore[override]
        return statistics.log_t_interval(self.processes).value

    def bound(self, level: float) -> float:
        interval = statistics.log_t_interval(self.processes, statistics.one_sided(level))
        return interval.low if self.at_least else interval.high

    def p_value(self) -> float:
        if self.allowed <= 0:
            return 0.0 if self.at_least else 1.0
        return statistics.log_t_p_value(self.processes, self.allowed, "above" if self.at_least else "below")

    def needs(self, level: float) -> dict[str, int]:
        room = log(self.value / self.allowed) * (1 if self.at_least else -1) if self.allowed > 0 else 0.0
        if room <= 0:
            return {}
        quantiles = NormalDist().inv_cdf(level) + NormalDist().inv_cdf(POWER)
        return {"processes": max(ceil((quantiles * stdev(map(log, self.processes)) / room) ** 2), len(self.processes) + 1)}


@dataclass(frozen=True, slots=True)
class NotShownWorse(Evidence):
    """A model must not be shown worse than another: the loss to it is shown only if its lower bound is above 0.

    The burden of proof lies on the other side than for the other terms: the term is kept unless the loss is shown.
    """

    allowed: float
    drop: PairedDrop
    mirrored: PairedDrop
    """The same pair in the other order."""
    than: str = "the best baseline"
    """What the other model is called in a sentence."""

    @property
    def value(self) -> float:  # type: ignore[override]
        return self.drop.value

    def bound(self, level: float) -> float:
        """The lower bound of the loss: above 0 it is shown."""
        return -self.mirrored.upper(level)

    def p_value(self) -> float:
        """0 unless the loss is shown at 95 %, else 1."""
        return float(self.bound(statistics.LEVEL) > self.allowed)


@dataclass(frozen=True, slots=True)
class Estimated(Evidence):
    """A mean drop with its standard error; at most `allowed`, by the normal approximation."""

    allowed: float
    value: float
    standard_error: float

    def bound(self, level: float) -> float:
        return self.value + NormalDist().inv_cdf(level) * self.standard_error

    def p_value(self) -> float:
        if self.standard_error == 0:
            return float(self.value > self.allowed)
        return 1 - NormalDist().cdf((self.allowed - self.value) / self.standard_error)
