"""Bets: factors by which a wealth is multiplied after an observation. Legend: T observations, K streams, B bets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLOPES = (-1.9, -0.8, 0.8, 1.9)
"""Slopes of linear bets on a p-value, and on its distance from the middle; 2 is the most that keeps the factors positive."""
POWERS = (0.3, 0.6)
WINDOWS = (50, 300)
"""How many of the last p-values an adaptive bet learns from."""
CELLS = 10
BETS = 2 * len(SLOPES) + 2 * len(POWERS) + len(WINDOWS)
HISTORY = max(WINDOWS)
LEAST_P = 1e-6
SHARES_OF_LIMIT = (0.05, 0.2, 0.5, 0.9)
"""Bets on a mean above its limit, as shares of the largest that cannot lose all."""


def on_p_values(p_values: Floats, history: Floats) -> Floats:
    """Factors (T, K, B) for p-values (T, K), which are uniform on 0..1 under the null hypothesis.

    `history` (H, K) holds the p-values before, for the bets that learn their density (histogram betting; Vovk, Nouretdinov and
    Gammerman 2003). The other bets are linear in p and in its distance from 1/2 ("Simple Jumper" of Vovk et al. 2021), and
    powers, for values beyond all known ones. Each integrates to 1 over p, whatever came before.
    """
    p = np.clip(p_values, LEAST_P, 1 - LEAST_P)
    folded = np.abs(2 * p - 1)
    factors = [1 + slope * (p - 0.5) for slope in SLOPES] + [1 + slope * (folded - 0.5) for slope in SLOPES]
    factors += [power * end ** (power - 1) for power in POWERS for end in (p, 1 - p)]
    factors += [_adaptive(p_values, history, window) for window in WINDOWS]
    return np.stack(factors, -1)


def _adaptive(p_values: Floats, history: Floats, window: int) -> Floats:
    """The density of the last `window` p-values before each one, in `CELLS` equal cells with one imagined value in each."""
    past = history[-window:]
    whole = np.concatenate([past, p_values])
    cells = np.minimum((whole * CELLS).astype(np.int64), CELLS - 1)
    hits = np.zeros((len(whole) + 1, whole.shape[1], CELLS))
    np.put_along_axis(hits[1:], cells[..., None], 1.0, 2)
    sums = np.cumsum(hits, 0)
    now = len(past) + np.arange(len(p_values))
    first = np.maximum(now - window, 0)
    counts = sums[now] - sums[first]
    own = np.take_along_axis(counts, cells[len(past) :][..., None], 2)[..., 0]
    return np.asarray(CELLS * (own + 1) / ((now - first)[:, None] + CELLS), np.float64)


def on_mean(values: Floats, limits: Floats) -> Floats:
    """Factors (T, K, B) for values (T, K) in 0..1 whose means shall not exceed `limits` (K,).

    `1 + bet (x - limit)` has an expectation of at most 1 while the mean, given all that came before, is at most the limit, so
    the values may depend on each other (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
    JRSS B 2024).
    """
    shares = np.array(SHARES_OF_LIMIT)
    return np.asarray(1 + shares * (values[..., None] - limits[:, None]) / limits[:, None], np.float64)
