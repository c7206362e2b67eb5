"""First-order Taylor: how much the loss would change if the channel went, seen from here (Molchanov et al., 2019)."""

from __future__ import annotations

import numpy as np

from .slopes import SlopePruning


class Taylor(SlopePruning):
    """Ranks the units of a group by the mean absolute slope of the loss.

    The slope is the first term of the loss's change when the unit goes. Its absolute value is taken for every sample,
    so that what helps one sample and harms another does not cancel.
    """

    id = "prune.taylor"
    title = "Taylor channel pruning"
    summary = "Removes the channels whose removal changes the loss least, by the loss's gradient on labelled samples."
    source = "Molchanov et al., 2019, Importance Estimation for Neural Network Pruning"
    comparable = True

    def figure(self, slopes: np.ndarray) -> np.ndarray:
        """Return the sums of absolute slopes."""
        return np.asarray(np.abs(slopes).sum(axis=0))
