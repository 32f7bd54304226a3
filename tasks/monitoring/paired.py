"""Two models on the same rows, compared while right answers come in: which is right more often, and by how much?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, betaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRID = 801
"""Means at which a confidence sequence is computed, from -1 to 1."""


@dataclass(frozen=True, slots=True)
class PairedEvidence:
    """What labelled rows say of a challenger against the champion."""

    rows: int
    gained: int
    """Rows on which only the challenger is right."""
    lost: int
    """Rows on which only the champion is right."""
    better: float
    """Natural logarithm of the most evidence so far that the challenger is right more often."""
    worse: float
    """The same for the champion."""
    low: float
    high: float
    """A confidence sequence for the difference of the shares of right answers, challenger minus champion."""

    @property
    def difference(self) -> float:
        return (self.gained - self.lost) / self.rows if self.rows else 0.0


def compare(champion_right: NDArray[np.bool_], challenger_right: NDArray[np.bool_], alpha: float) -> PairedEvidence:
    """The evidence of N rows in the order in which their labels came.

    Of the rows on which just one is right, McNemar's test asks whether the challenger is that one more often than half of the
    time. Its sequential form is the mixture of bets `1 + b (2 x - 1)`, b uniform on 0..1, a wealth that reaches 1 / alpha with a
    probability of at most alpha at any time if the challenger is not better. The interval holds for all times with 1 - alpha.
    """
    x = challenger_right.astype(int) - champion_right.astype(int)
    decided = x[x != 0] > 0
    wins = np.cumsum(decided)
    losses = np.arange(1, len(decided) + 1) - wins
    better, worse = _evidence(wins, losses), _evidence(losses, wins)
    low, high = confidence_sequence(x.astype(np.float64), alpha)
    gained = int(decided.sum())
    return PairedEvidence(
        len(x), gained, len(decided) - gained, float(better.max(initial=0.0)), float(worse.max(initial=0.0)), low, high
    )


def _evidence(wins: NDArray[np.int64], losses: NDArray[np.int64]) -> Floats:
    """log of the integral over q in 1/2..1 of 2 q^wins (1 - q)^losses 2^(wins + losses) dq."""
    a, b = wins + 1.0, losses + 1.0
    upper = np.maximum(betainc(b, a, 0.5), 1e-300)
    return np.asarray(np.log(2.0) + np.log(upper) + betaln(a, b) + (wins + losses) * np.log(2.0), np.float64)


def confidence_sequence(x: Floats, alpha: float) -> tuple[float, float]:
    """An interval that holds the mean of values in -1..1 at all times with a confidence of 1 - alpha: hedged betting.

    The bets of Waudby-Smith and Ramdas (JRSS B 2024, section 4.4, predictable plug-in with truncation 1/2), on values scaled to
    0..1; the intervals of all times are intersected. Where no mean fits all values, since it changed on the way, the interval
    is -1..1.
    """
    if not len(x):
        return -1.0, 1.0
    scaled = (x + 1) / 2
    times = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(scaled)) / (times + 1)
    variance = (0.25 + np.cumsum((scaled - mean) ** 2)) / (times + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    bet = np.sqrt(2 * np.log(2 / alpha) / (before * times * np.log(times + 1)))
    candidates = np.linspace(0.0, 1.0, GRID)
    inside = np.ones(GRID, bool)
    for place, m in enumerate(candidates):
        up = np.cumsum(np.log1p(np.minimum(bet, 0.5 / max(m, 1e-9)) * (scaled - m)))
        down = np.cumsum(np.log1p(-np.minimum(bet, 0.5 / max(1 - m, 1e-9)) * (scaled - m)))
        inside[place] = np.logaddexp(up, down).max() - np.log(2.0) < np.log(1 / alpha)
    possible = candidates[inside]
    if not len(possible):
        return -1.0, 1.0
    return float(2 * possible.min() - 1), float(2 * possible.max() - 1)
