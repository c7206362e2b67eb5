"""Signal-to-noise ratio against the original model's outputs, for when there are no labels."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric, decibel, same_shape
from workbench.domain.ladder import IDENTICAL_DB


class Sqnr(Metric):
    """10·log₁₀(Σ original² / Σ (output - original)²) over all samples; identical outputs count 200 dB."""

    name = "sqnr"
    title = "Output SQNR"
    unit = "dB"
    against = "reference"

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return signal and noise energy of each sample."""
        found, wanted = same_shape(outputs, targets)
        return np.stack([(wanted**2).sum(axis=1), ((found - wanted) ** 2).sum(axis=1)], axis=1)

    def combine(self, sums: np.ndarray, samples: int) -> np.ndarray:
        """Return the ratio in dB."""
        signal, noise = sums[..., 0], sums[..., 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(noise == 0, np.inf, signal / noise)
        return decibel(ratio, IDENTICAL_DB)
