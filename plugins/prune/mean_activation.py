"""Mean activation: a channel whose values are small moves what follows little (Molchanov et al., 2017)."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelAxis

from .observed import ChannelFigure, ObservedPruning
from .sites import channels_first


class MeanMagnitude:
    """Mean absolute value of a channel over samples and positions."""

    def __init__(self, place: ChannelAxis) -> None:
        self._place = place
        self._sum: np.ndarray | float = 0.0
        self._count = 0

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        channels = channels_first(array, self._place)
        self._sum = self._sum + np.abs(channels).sum(axis=1, dtype=np.float64)
        self._count += channels.shape[1]

    def result(self) -> np.ndarray:
        """Return the means, (channels,)."""
        return np.asarray(self._sum) / max(self._count, 1)


class MeanActivation(ObservedPruning):
    """Ranks the units of a group by the mean absolute value of what is read of them."""

    id = "prune.mean_activation"
    title = "Mean-activation channel pruning"
    summary = "Removes the channels with the smallest mean activation on the training samples."
    source = "Molchanov et al., 2017, Pruning Convolutional Neural Networks for Resource Efficient Inference"

    def figure(self, place: ChannelAxis) -> ChannelFigure:
        """Return a mean of absolute values."""
        return MeanMagnitude(place)
