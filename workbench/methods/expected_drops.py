"""Says what the metric is expected to lose where the samples that were taken hardly tell, by what the outputs did.

The share of right answers changes in steps of one sample; what a setting does to the outputs (their divergence from the
original's) is known far more exactly from the same samples. Over the settings of a sweep one follows from the other,
nearly: drop_i = a · v_i^b · (1 + error of relative size r) + error of size f. a, b, r are fitted to all settings, and
every drop is drawn towards the curve, the more the less its own samples say (an empirical Bayes estimate; Efron and
Morris, 1973).

Notation: n settings; d (n,) drops as measured, s (n,) their standard errors, v (n,) divergences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_POWERS = np.arange(0.5, 1.61, 0.1)
# Never fewer than 15 %: a few settings that happen to lie on a curve don't prove it.
_ERRORS = (0.15, 0.25, 0.4, 0.6, 0.9, 1.4)
_FEWEST = 6


@dataclass(frozen=True)
class ExpectedDrops:
    """What is expected of each setting.

    Attributes:
        values: (n,) drops.
        errors: (n,) standard errors, at most those measured.
    """

    values: np.ndarray
    errors: np.ndarray


def expected_drops(drops: np.ndarray, errors: np.ndarray, divergences: np.ndarray, floor: float) -> ExpectedDrops:
    """Return the expected drops; those measured where there are too few settings to learn from, or no relation.

    Args:
        drops: (n,) d.
        errors: (n,) s, above 0.
        divergences: (n,) v, 0 or more; NaN where it is not known.
        floor: f, the least that a drop may be off the curve: where outputs hardly change, chance decides on answers.
    """
    known = np.isfinite(divergences)
    if known.sum() < _FEWEST:
        return ExpectedDrops(drops, errors)
    d, s, v = drops[known], errors[known], np.maximum(divergences[known], 1e-12)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for power in _POWERS:
        shape = v**power
        shape = shape / shape.max()
        for error in _ERRORS:
            height = _height(d, s, shape, error, floor)
            around = (error * height * shape) ** 2 + floor**2
            variance = s**2 + around
            likelihood = -0.5 * float(((d - height * shape) ** 2 / variance + np.log(variance)).sum())
            if best is None or likelihood > best[0]:
                best = likelihood, height * shape, around
    assert best is not None
    _, curve, around = best
    # Without any relation (a height of 0) the samples alone speak.
    if not curve.any():
        return ExpectedDrops(drops, errors)
    values, spreads = drops.copy(), errors.copy()
    values[known] = (d * around + curve * s**2) / (around + s**2)
    spreads[known] = np.sqrt(around * s**2 / (around + s**2))
    return ExpectedDrops(values, spreads)


def _height(d: np.ndarray, s: np.ndarray, shape: np.ndarray, error: float, floor: float) -> float:
    """Return the height of the curve that fits best, by weighted least squares whose weights depend on it."""
    variance, height = s**2 + floor**2, 0.0
    for _ in range(6):
        height = max(float((d * shape / variance).sum() / (shape**2 / variance).sum()), 0.0)
        variance = s**2 + floor**2 + (error * height * shape) ** 2
    return height
