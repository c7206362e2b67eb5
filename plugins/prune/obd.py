"""Optimal Brain Damage: the second derivative of the loss says what a channel costs at the optimum (LeCun, 1990)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from .slopes import SlopePruning


class OptimalBrainDamage(SlopePruning):
    """Ranks the units of a group by half the second derivative of the loss by a factor on the unit.

    As in the paper the Hessian's diagonal is that of its Gauss-Newton part. It is the mean squared slope under labels
    that are drawn from the model's own prediction (Martens, 2014), so that the samples need no labels.
    """

    id = "prune.obd"
    title = "Hessian channel pruning (OBD)"
    summary = "Removes the channels on which the loss has the smallest curvature; needs samples but no labels."
    source = "LeCun et al., 1990, Optimal Brain Damage"
    comparable = True
    labels: ClassVar[Literal["data", "model"]] = "model"

    def figure(self, slopes: np.ndarray) -> np.ndarray:
        """Return half the sums of squared slopes."""
        return np.asarray(0.5 * np.square(slopes).sum(axis=0))
