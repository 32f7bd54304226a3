"""One-sided tests of how much one model loses against another on the same rows, at any margin and level.

A test answers two questions about the true drop: its upper confidence bound at a level, and the p-value of the hypothesis
that it is at least a margin. Both come from one distribution, so that the bound at `1 - p` is the margin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tasks.evaluation import statistics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

BLOCK_LENGTH = 21
"""The mean number of points in time of a block: a month of trading days."""
RESAMPLES = 2000
MIN_RELATIVE_ERROR = 0.05
"""A resample's standard error is taken as no smaller than this share of the rows' own: some draw the same row only."""
POWER = 0.8
"""The probability with which the number of rows that `rows_needed` names would show what is true."""


class PairedDrop(ABC):
    """The drop of a mean from one model to another on the same rows; positive is a loss."""

    value: float
    rows: int
    method: str

    @property
    @abstractmethod
    def spread(self) -> float:
        """The standard deviation that a row contributes: the standard error times the root of the number of rows."""

    @abstractmethod
    def upper(self, level: float) -> float:
        """The one-sided upper confidence bound of the true drop at `level`, such as 0.95."""

    @abstractmethod
    def p_value(self, margin: float) -> float:
        """The p-value of the hypothesis that the true drop is at least `margin`; small values show that it is smaller."""

    def rows_needed(self, margin: float, level: float) -> int | None:
        """About how many rows would show that the drop is below `margin`, if the drop and the spread are as measured.

        None if the measured drop is not below the margin, since then more rows are no help. With probability `POWER`, by the
        normal approximation (S. Julious, Statistics in Medicine 23, 2004, section 5).
        """
        room = margin - max(self.value, 0.0)
        if room <= 0:
            return None
        quantile = NormalDist().inv_cdf(level)
        normal = ((quantile + NormalDist().inv_cdf(POWER)) * self.spread / room) ** 2
        return int(np.ceil(max(normal, quantile**2 * (1 - margin) / margin)))

    def assurance(self, margin: float, level: float, rows: int) -> float:
        """The probability that `rows` new rows show a drop below `margin`, by the drop and the spread measured here.

        It allows for the error of the measured drop (A. O'Hagan, J. Stevens, M. Campbell, Pharmaceutical Statistics 4, 2005).
        """
        quantile = NormalDist().inv_cdf(level)
        if rows == 0 or quantile**2 / (rows + quantile**2) > margin:
            return 0.0
        error = self.spread / sqrt(rows)
        both = self.spread * sqrt(1 / rows + 1 / self.rows)
        return NormalDist().cdf((margin - quantile * error - max(self.value, 0.0)) / both) if both else 1.0


@dataclass(frozen=True, slots=True)
class BinaryDrop(PairedDrop):
    """The drop of a share, from the rows that only the first model has right (`lost`) and only the second (`won`).

    The score test of T. Tango (Statistics in Medicine 17, 1998), which keeps its error rate when few or no rows changed.
    """

    lost: int
    won: int
    rows: int

    @property
    def value(self) -> float:  # type: ignore[override]
        """The share lost."""
        return (self.lost - self.won) / self.rows

    @property
    def method(self) -> str:  # type: ignore[override]
        """The name of the test."""
        return "Tango score, paired"

    @property
    def spread(self) -> float:
        """From the share of changed rows, with one changed row added, since none would claim certainty."""
        changed = (self.lost + self.won + 1) / (self.rows + 1)
        return sqrt(max(changed - self.value**2, 1 / (self.rows + 1)))

    def upper(self, level: float) -> float:
        """The upper end of Tango's interval."""
        return statistics.tango(self.lost, self.won, self.rows, 2 * level - 1).high

    def p_value(self, margin: float) -> float:
        """From Tango's score statistic at `margin`."""
        if margin >= 1:
            return 0.0
        return NormalDist().cdf(statistics.tango_score(self.lost, self.won, self.rows, margin))


@dataclass(frozen=True, slots=True)
class ResampledDrop(PairedDrop):
    """The drop of a mean of any row values, from a bootstrap."""

    value: float
    rows: int
    method: str
    standard_error: float
    deviations: Floats
    """Sorted deviations: `value` plus their quantile at a level is the upper confidence bound at that level."""

    @property
    def spread(self) -> float:
        """From the standard error."""
        return self.standard_error * sqrt(self.rows)

    def upper(self, level: float) -> float:
        """The value plus the quantile of the deviations at `level`."""
        return self.value + float(np.quantile(self.deviations, level))

    def p_value(self, margin: float) -> float:
        """The share of deviations that reach beyond `margin`, counting the observed value as one (Davison and Hinkley 1997)."""
        beyond = len(self.deviations) - int(np.searchsorted(self.deviations, margin - self.value))
        return (1 + beyond) / (1 + len(self.deviations))


def paired_drop(before: ArrayLike, after: ArrayLike, times: ArrayLike | None = None) -> PairedDrop:
    """The test of the drop from the row values `before` (N,) to `after` (N,), larger is better.

    Tango's score test for zeros and ones, else a bootstrap of the differences of rows. With `times` (N,), the points in time of
    correlated rows, blocks of time are resampled instead, for zeros and ones too. Raises `ValueError` for arrays of different
    or no length.
    """
    old, new = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if old.shape != new.shape or len(old) == 0:
        raise ValueError(f"{len(old)} and {len(new)} values cannot be paired; they must come from the same rows")
    if times is not None:
        return _resampled_in_blocks(old - new, np.asarray(times))
    if statistics.is_binary(old) and statistics.is_binary(new):
        return BinaryDrop(int((old > new).sum()), int((old < new).sum()), len(old))
    return _studentized(old - new, float(np.ptp(old)))


def _studentized(difference: Floats, reach: float) -> ResampledDrop:
    """By the studentized bootstrap (P. Hall, Annals of Statistics 16, 1988), which allows for few and skewed differences.

    If all differences are equal, their spread is taken as if one row had changed by `reach`, the range of the row values.
    """
    rows, value = len(difference), float(difference.mean())
    error = float(difference.std(ddof=1)) / sqrt(rows) if rows > 1 else 0.0
    if error <= 1e-12 * max(1.0, abs(value)):
        grid = (np.arange(RESAMPLES) + 0.5) / RESAMPLES
        normal = np.array([NormalDist().inv_cdf(share) for share in grid.tolist()])
        return ResampledDrop(value, rows, "studentized bootstrap, paired", reach / rows, normal * reach / rows)
    generator = np.random.default_rng(statistics.SEED)
    block = max(1, statistics.BLOCK_NUMBERS // rows)
    pivots = []
    for at in range(0, RESAMPLES, block):
        drawn = difference[generator.integers(0, rows, (min(block, RESAMPLES - at), rows))]
        errors = drawn.std(axis=1, ddof=1) / sqrt(rows)
        pivots.append((value - drawn.mean(axis=1)) / np.maximum(errors, error * MIN_RELATIVE_ERROR))
    return ResampledDrop(value, rows, "studentized bootstrap, paired", error, np.sort(np.concatenate(pivots)) * error)


def _resampled_in_blocks(difference: Floats, times: NDArray[np.generic]) -> ResampledDrop:
    """By the stationary bootstrap of D. Politis and J. Romano (JASA 89, 1994) over points in time, in their order.

    Rows of one point in time stay together. A block has a geometric length with mean `BLOCK_LENGTH`, at most a quarter of the
    points, and goes on at the first point after the last one. The deviations are widened by the ratio of Student's quantile to
    the normal one, because there are few blocks.
    """
    from scipy.stats import t

    _, places = np.unique(times, return_inverse=True)
    sums, counts = np.bincount(places, difference), np.bincount(places)
    points = len(sums)
    length = max(1, min(BLOCK_LENGTH, points // 4))
    generator = np.random.default_rng(statistics.SEED)
    means = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        starts = generator.random(points) < 1 / length
        starts[0] = True
        firsts = generator.integers(0, points, points)
        begin = np.maximum.accumulate(np.where(starts, np.arange(points), 0))
        chosen = (firsts[begin] + np.arange(points) - begin) % points
        means[number] = sums[chosen].sum() / counts[chosen].sum()
    value, blocks = float(difference.mean()), max(2, points // length)
    widening = float(t.ppf(statistics.LEVEL, blocks - 1)) / NormalDist().inv_cdf(statistics.LEVEL)
    deviations = np.sort(means - value) * widening * sqrt(blocks / (blocks - 1))
    method = f"stationary bootstrap of {points} points in time"
    return ResampledDrop(value, len(difference), method, float(deviations.std()), deviations)
