"""L2 norm: as L1, but a few large weights count more than many small ones (He et al., 2018)."""

from __future__ import annotations

import numpy as np

from .norms import NormPruning


class L2Norm(NormPruning):
    """Ranks the units of a group by L2 norms."""

    id = "prune.l2"
    title = "L2-norm channel pruning"
    summary = "Removes the channels whose weights have the smallest Euclidean length."
    source = "He et al., 2018, Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks"

    def norm(self, values: np.ndarray) -> np.ndarray:
        """Return the Euclidean lengths over the last axis."""
        return np.asarray(np.sqrt(np.square(values).sum(axis=-1)))
