"""Intervals and tests for metrics, because a difference without an interval can't be believed or dismissed.

Notation: n samples; a share is a count of successes over n; for two models on the same samples, `lost` samples are
right only in the first and `won` only in the second (the discordant pairs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to import

from workbench.domain.measurements import Interval

Z95: Final = 1.959963984540054


def wilson(successes: float, n: int) -> Interval:
    """Return the 95 % score interval of a share (Wilson, 1927)."""
    share = successes / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar_exact(lost: int, won: int) -> float:
    """Return the two-sided exact p-value that both models are equally often right (McNemar, 1947; binomial form)."""
    discordant = lost + won
    return 1.0 if discordant == 0 else min(1.0, 2.0 * float(special.bdtr(min(lost, won), discordant, 0.5)))


def paired_share_interval(lost: int, won: int, n: int) -> Interval:
    """Return the 95 % interval of share₂ - share₁ on the same samples.

    The adjusted Wald interval of Bonett and Price (2012): one pseudo-observation in each discordant cell, so that it
    keeps its coverage, and a width above zero, when few or no samples changed.
    """
    first, second = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    difference = second - first
    half = Z95 * math.sqrt((first + second - difference**2) / (n + 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


def mean_interval(values: np.ndarray) -> Interval:
    """Return the 95 % interval of the mean of `values` (n,) by Student's t."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, mean
    half = float(special.stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean - half, mean + half


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, *, rounds: int = 1000, seed: int = 0
) -> Interval:
    """Return the 95 % percentile interval (Efron, 1979) of a statistic of reweighted samples.

    Args:
        statistic: Takes weights (rounds, n), how often each sample was drawn, and returns values (rounds,).
        n: Number of samples.
        rounds: Resamplings.
        seed: Makes the interval repeatable.
    """
    rng = np.random.default_rng(seed)
    values = []
    step = max(1, int(8e6) // max(n, 1))
    for begin in range(0, rounds, step):
        weights = rng.multinomial(n, np.full(n, 1.0 / n), min(step, rounds - begin))
        values.append(statistic(weights.astype(np.float64)))
    low, high = np.nanquantile(np.concatenate(values), (0.025, 0.975))
    return float(low), float(high)
