"""Confidence intervals and paired tests for metrics of models, seeded, so that a rerun gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import comb, exp, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 2000
SEED = 20_240_229
BLOCK_NUMBERS = 4_000_000
"""Random numbers drawn at once, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval at `level`, and the number of rows behind it."""

    value: float
    low: float
    high: float
    rows: int
    method: str
    level: float = LEVEL

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean of row values (N,) with its interval: Wilson's score when all are 0 or 1, else a bootstrap."""
    rows = np.asarray(values, dtype=np.float64)
    if is_binary(rows):
        return wilson(int(rows.sum()), len(rows), level)
    low, high = bootstrap(rows, level=level)
    return Interval(float(rows.mean()), low, high, len(rows), "bootstrap of rows", level)


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """A proportion of `trials` with Wilson's score interval, which keeps its coverage near 0 and 1.

    E. B. Wilson, JASA 22, 1927. Raises `ValueError` for 0 trials.
    """
    if trials == 0:
        raise ValueError("0 trials: a share needs at least one row")
    z, share = _z(level), successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), trials, "Wilson score", level)


def paired_drop(before: ArrayLike, after: ArrayLike, level: float = LEVEL) -> Interval:
    """The drop of the mean from `before` (N,) to `after` (N,) on the same rows, with its interval.

    Tango's score when every value is 0 or 1, else a paired bootstrap (B. Efron, Ann. Statist. 7, 1979). Raises `ValueError`
    for arrays of different length.
    """
    old, new = _paired(before, after)
    if is_binary(old) and is_binary(new):
        lost, won = int(((old == 1) & (new == 0)).sum()), int(((old == 0) & (new == 1)).sum())
        return tango(lost, won, len(old), level)
    low, high = bootstrap(old - new, level=level)
    return Interval(float((old - new).mean()), low, high, len(old), "paired bootstrap", level)


def tango(lost: int, won: int, rows: int, level: float = LEVEL) -> Interval:
    """The difference of two proportions on the same rows, from the rows `lost` and `won`, with its interval.

    The score interval of T. Tango (Statistics in Medicine 17, 1998). Unlike a bootstrap it has a positive width when no row
    changed: for 750 rows without a change the one-sided 95 % confidence bound is 0.0036.
    """
    if rows == 0:
        raise ValueError("0 rows: a difference needs at least one")
    value, z = (lost - won) / rows, _z(level)

    def score(difference: float) -> float:
        return tango_score(lost, won, rows, difference)

    low = _bisect(score, z, -1.0, value) if lost - won > -rows else -1.0
    high = _bisect(score, -z, value, 1.0) if lost - won < rows else 1.0
    return Interval(value, low, high, rows, "Tango score, paired", level)


def tango_score(lost: int, won: int, rows: int, difference: float) -> float:
    """Tango's score statistic of a true difference, in standard errors: standard normal if it is true, decreasing in it."""
    b = -lost - won + (2 * rows - lost + won) * difference
    c = -won * difference * (1 - difference)
    share = (sqrt(max(0.0, b * b - 8 * rows * c)) - b) / (4 * rows)
    variance = rows * (2 * share + difference * (1 - difference))
    return float((lost - won - rows * difference) / sqrt(variance)) if variance > 0 else 0.0


def mcnemar(lost: int, won: int) -> float:
    """The p-value of the two-sided exact McNemar test of `lost` against `won` rows (Q. McNemar, Psychometrika 12, 1947)."""
    changed = lost + won
    tail = sum(comb(changed, k) for k in range(min(lost, won) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def paired_p_value(before: ArrayLike, after: ArrayLike) -> float:
    """The one-sided p-value of "the mean did not drop" from `before` (N,) to `after` (N,), on the same rows.

    The exact McNemar test when every value is 0 or 1, else Student's t of the differences. Raises `ValueError` for arrays of
    different length.
    """
    old, new = _paired(before, after)
    difference = old - new
    if is_binary(old) and is_binary(new):
        lost, won = int((difference > 0).sum()), int((difference < 0).sum())
        return float(special.bdtrc(lost - 1, lost + won, 0.5)) if lost else 1.0
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / sqrt(len(difference)) if len(difference) > 1 else 0.0
    if error == 0:
        return 0.0 if mean > 0 and len(difference) > 1 else 1.0
    return float(special.stdtr(len(difference) - 1, -mean / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, adjusted for their number, in the same order.

    Rejecting those up to a level makes one false rejection or more at most that often, however the tests depend on one another
    (S. Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def bootstrap(values: ArrayLike, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of `values` (N,), by resampling rows (B. Efron 1979)."""
    rows = np.asarray(values, dtype=np.float64)
    if len(rows) == 0:
        raise ValueError("0 rows: an interval needs at least one")
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_NUMBERS // len(rows))
    means = [
        rows[generator.integers(0, len(rows), (min(block, resamples - at), len(rows)))].mean(axis=1)
        for at in range(0, resamples, block)
    ]
    return _percentiles(np.concatenate(means), level)


def ratio_interval(base: ArrayLike, other: ArrayLike, level: float = LEVEL, seed: int = SEED) -> Interval:
    """The median over rounds of the ratio of `base` (R,) to `other` (R,), with a bootstrap interval over rounds.

    Both are measured in turn in the same R rounds, so what slows a whole round cancels out.
    """
    old, new = _paired(base, other)
    return median_interval(old / new, level, seed)


def median_interval(rounds: ArrayLike, level: float = LEVEL, seed: int = SEED) -> Interval:
    """The median of one value per round (R,), with a bootstrap interval over rounds."""
    values = np.asarray(rounds, dtype=np.float64)
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))]
    low, high = _percentiles(np.median(drawn, axis=1), level)
    return Interval(float(np.median(values)), low, high, len(values), "bootstrap of rounds", level)


def log_t_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The geometric mean of positive `values` (P,), one per process, with Student's t interval of the mean of their logarithms.

    Times and their ratios multiply, so that their logarithms are closer to normal (Student, Biometrika 6, 1908). Raises
    `ValueError` for fewer than two values, which say nothing of their spread, and for a value that is not above 0.
    """
    mean, error, freedom = _log_mean(values)
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(
        exp(mean), exp(mean - half), exp(mean + half), freedom + 1, "Student's t on logarithms, over processes", level
    )


def log_t_p_value(values: ArrayLike, bound: float, side: Literal["above", "below"]) -> float:
    """The one-sided p-value of Student's t on the logarithms of `values` (P,): small if their geometric mean is shown to be on
    this side of `bound`.

    `above` tests "the ratio is less than required", `below` tests "the latency is more than allowed". It is at most 1 - level
    exactly if the one-sided bound of `log_t_interval(values, one_sided(level))` is on that side. Raises `ValueError` like it.
    """
    mean, error, freedom = _log_mean(values)
    distance = log(bound) - mean if side == "above" else mean - log(bound)
    if error == 0:
        return 0.0 if distance < 0 else 1.0
    return float(special.stdtr(freedom, distance / error))


def one_sided(level: float = LEVEL) -> float:
    """The level of the two-sided interval whose upper end is a one-sided bound at `level`."""
    return 2 * level - 1


def is_binary(values: NDArray[np.float64]) -> bool:
    """Whether every value is 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def _paired(before: ArrayLike, after: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if old.shape != new.shape or len(old) == 0:
        raise ValueError(f"{len(old)} and {len(new)} values cannot be paired; they must come from the same rows")
    return old, new


def _log_mean(values: ArrayLike) -> tuple[float, float, int]:
    """The mean of the logarithms, its standard error, and the degrees of freedom."""
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2 or not (numbers > 0).all():
        raise ValueError(f"{numbers.tolist()}: an interval over processes needs two values or more, all above 0")
    logs = np.log(numbers)
    return float(logs.mean()), float(logs.std(ddof=1)) / sqrt(len(logs)), len(logs) - 1


def _percentiles(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _bisect(function: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a decreasing function reaches `target` between `low` and `high`, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        if function(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
