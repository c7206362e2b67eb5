"""Fisher information: the mean squared slope says how sharply the loss rises from here (Theis et al., 2018)."""

from __future__ import annotations

import numpy as np

from .slopes import SlopePruning


class Fisher(SlopePruning):
    """Ranks the units of a group by half the mean squared slope of the loss.

    Slopes of coupled layers are added before they are squared (group Fisher, Liu et al., 2021), since one factor
    stands for all of them.
    """

    id = "prune.fisher"
    title = "Fisher channel pruning"
    summary = "Removes the channels with the least Fisher information, coupled layers counted together."
    source = "Theis et al., 2018, Faster Gaze Prediction; Liu et al., 2021, Group Fisher Pruning"
    comparable = True

    def figure(self, slopes: np.ndarray) -> np.ndarray:
        """Return half the sums of squared slopes."""
        return np.asarray(0.5 * np.square(slopes).sum(axis=0))
