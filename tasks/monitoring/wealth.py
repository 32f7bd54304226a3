"""Evidence that grows by bets and may be looked at as often as one likes.

A bet on an observation multiplies a wealth of 1 by a factor whose expectation is at most 1 if the null hypothesis holds. By
Ville's inequality the wealth then exceeds 1 / alpha at any time, ever, with a probability of at most alpha. As a change may come
late, a share `w(t)` of the wealth is kept until observation t and bet only from then on; `w` sums to 1, so the whole is a
wealth of the same kind (a mixture of e-processes over the time of the change; Shin, Ramdas and Rinaldo, "E-detectors", 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SCALE = 100.0
"""Observations after which half of the wealth has been bet."""


@dataclass(slots=True)
class Wealth:
    """The wealth of several bets on each of K streams; a stream's wealth is the mean over its bets."""

    running: Floats
    """(K, B): the logarithm of what the shares bet so far are worth; -inf before the first observation."""
    seen: int = 0
    """Observations so far."""

    @classmethod
    def of(cls, streams: int, bets: int) -> Wealth:
        return cls(np.full((streams, bets), -np.inf))

    def update(self, factors: Floats) -> Floats:
        """Bet on T observations with factors (T, K, B) > 0; returns the natural logarithm of the wealth after each, (T, K)."""
        if not len(factors):
            return np.zeros((0, len(self.running)))
        times = self.seen + np.arange(1, len(factors) + 1, dtype=np.float64)
        start = np.log(SCALE) - np.log(times + SCALE) - np.log(times + SCALE - 1)
        gains = np.cumsum(np.log(factors), 0)
        before = np.concatenate([np.zeros((1, *gains.shape[1:])), gains[:-1]])
        shares = start[:, None, None] - before
        shares[0] = np.logaddexp(shares[0], self.running)
        running = gains + np.logaddexp.accumulate(shares, 0)
        self.running, self.seen = running[-1], self.seen + len(factors)
        waiting = np.log(SCALE) - np.log(times + SCALE)
        return np.asarray(np.logaddexp(log_mean(running), waiting[:, None]), np.float64)


def log_mean(logs: Floats) -> Floats:
    """The logarithm of the mean over the last axis of numbers given by their logarithms."""
    highest = logs.max(-1, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(logs - highest).mean(-1)) + highest[..., 0], np.float64)
