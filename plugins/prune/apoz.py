"""Average percentage of zeros: a channel that is almost always off carries little (APoZ, Hu et al., 2016)."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelAxis

from .observed import ChannelFigure, ObservedPruning
from .sites import channels_first


class ActiveShare:
    """Share of positions at which a channel is not zero, over samples and positions."""

    def __init__(self, place: ChannelAxis) -> None:
        self._place = place
        self._active: np.ndarray | float = 0.0
        self._count = 0

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        channels = channels_first(array, self._place)
        self._active = self._active + np.count_nonzero(channels, axis=1)
        self._count += channels.shape[1]

    def result(self) -> np.ndarray:
        """Return the shares, (channels,)."""
        return np.asarray(self._active) / max(self._count, 1)


class ZeroShare(ObservedPruning):
    """Ranks the units of a group by how often what is read of them is not zero.

    It tells channels apart behind an activation function that makes zeros, such as ReLU; elsewhere all channels tie
    and go in order.
    """

    id = "prune.apoz"
    title = "Zero-activation channel pruning (APoZ)"
    summary = "Removes the channels whose activations are zero most often."
    source = "Hu et al., 2016, Network Trimming"
    comparable = True

    def figure(self, place: ChannelAxis) -> ChannelFigure:
        """Return a counter of what is not zero."""
        return ActiveShare(place)
