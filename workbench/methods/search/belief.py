"""Learns additive effects from few and noisy results: a linear model with a prior, so that it foretells from the start.

Notation: n choices (columns), m results (rows); X (m, n) is 1 where a result has a choice. An effect is
scale · foretold + offset + own, where `scale` says how much of what was foretold is left (after training, a tenth of
what a layer's removal costs without any), and `own` what is particular to one choice; both are normal, so is what is
learned of them (Bishop, 2006, Pattern Recognition and Machine Learning, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
# Share of a sum by which it misses what several choices do together.
_NOT_ADDITIVE = 0.1


@dataclass(frozen=True)
class Prior:
    """What is believed before any result.

    Attributes:
        effects: (n,) foretold ones, which the scale applies to.
        offsets: (n,) what is foretold besides, whatever the scale.
        deviations: (n,) standard deviations of what is particular to each.
        scale: Expected factor on the foretold ones …
        scale_deviation: … and its standard deviation.
        knee: Sum of foretold effects that turns out twice as large: what is taken away together costs more than one by
            one; infinite where effects simply add up.
        noise: Standard deviation of a result besides its own measured scatter, as effects don't quite add up.
    """

    effects: Array
    offsets: Array
    deviations: Array
    scale: float = 1.0
    scale_deviation: float = 0.0
    knee: float = math.inf
    noise: float = 0.0


class AdditiveBelief:
    """Foretells sums of effects.

    Args:
        prior: Of the effects.
    """

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        # Columns: the scale's own, then one for each choice.
        self._mean = np.concatenate([[prior.scale], prior.offsets])
        self._covariance = np.diag(np.concatenate([[prior.scale_deviation**2], prior.deviations**2]))

    def learned(self, rows: Sequence[Array], results: Sequence[float], scatters: Sequence[float]) -> AdditiveBelief:
        """Return the belief after results.

        Args:
            rows: (n,) each, which choices a result has.
            results: Their sums of effects.
            scatters: Standard deviations of their measurements.
        """
        found = AdditiveBelief(self._prior)
        if not rows:
            return found
        design = self._design(np.stack(rows))
        noise = np.square(scatters) + self._prior.noise**2
        covariance = found._covariance
        gain = covariance @ design.T @ np.linalg.inv(design @ covariance @ design.T + np.diag(noise + 1e-12))
        found._mean = found._mean + gain @ (np.asarray(results) - design @ found._mean)
        found._covariance = covariance - gain @ design @ covariance
        return found

    def foretold(self, rows: Array) -> tuple[Array, Array]:
        """Return means (m,) and standard deviations (m,) of the sums of rows (m, n), model error included."""
        design = self._design(np.atleast_2d(rows))
        variance = np.einsum("ij,jk,ik->i", design, self._covariance, design)
        means = design @ self._mean
        return means, np.sqrt(np.maximum(variance, 0.0) + self._prior.noise**2 + (_NOT_ADDITIVE * means) ** 2)

    def effects(self) -> Array:
        """Return the mean effect (n,) of every choice."""
        return np.asarray(self._mean[0] * self._prior.effects + self._mean[1:])

    def _design(self, rows: Array) -> Array:
        sums = rows @ self._prior.effects
        return np.column_stack([sums * (1 + np.abs(sums) / self._prior.knee), rows])
