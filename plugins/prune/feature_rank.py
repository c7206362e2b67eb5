"""Rank of feature maps: a map of low rank holds little information, whatever its size (HRank, Lin et al., 2020)."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelAxis, ChannelGroup, ModelGraph

from .observed import ChannelFigure, ObservedPruning
from .sites import Site, is_map


class MeanRank:
    """Mean rank of a channel's maps (h, w) over samples."""

    def __init__(self, place: ChannelAxis) -> None:
        self._place = place
        self._sum: np.ndarray | float = 0.0
        self._count = 0

    def update(self, array: np.ndarray) -> None:
        """Take the value (n, c, h, w) of one batch."""
        self._sum = self._sum + np.linalg.matrix_rank(array).sum(axis=0)
        self._count += len(array)

    def result(self) -> np.ndarray:
        """Return the mean ranks, (channels,)."""
        return np.asarray(self._sum) / max(self._count, 1)


class FeatureRank(ObservedPruning):
    """Ranks the units of a group by the mean matrix rank of the feature maps that are read of them.

    The mean rank hardly changes with the samples, so that few are enough.
    """

    id = "prune.feature_rank"
    title = "Feature-rank channel pruning (HRank)"
    summary = "Removes the channels whose feature maps have the lowest rank; looks at pictures only."
    source = "Lin et al., 2020, HRank: Filter Pruning using High-Rank Feature Map"

    def sites(self, graph: ModelGraph, group: ChannelGroup) -> tuple[Site, ...]:
        """Return the values that are maps."""
        return tuple(site for site in super().sites(graph, group) if is_map(graph, site))

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why a group has no rank: its channels have no height and width."""
        if not self.sites(graph, group) and super().sites(graph, group):
            return f"what layer {group.id} makes are vectors, which have no rank"
        return super().obstacle(graph, group)

    def figure(self, place: ChannelAxis) -> ChannelFigure:
        """Return a mean of ranks."""
        return MeanRank(place)
