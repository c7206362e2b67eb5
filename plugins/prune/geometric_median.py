"""Geometric median: a filter that lies amid the others says nothing that they don't say (FPGM, He et al., 2019)."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelGroup

from .scores import filters, present
from .structured import ChannelPruning
from .subject import Subject


class GeometricMedian(ChannelPruning):
    """Ranks the units of a group by the summed distance of their filter to all other filters of the layer.

    The filters nearest to the geometric median of a layer are those that the rest can stand in for. Distances are
    those of the filters as they act, with folded normalisation in them.
    """

    id = "prune.geometric_median"
    title = "Geometric-median channel pruning (FPGM)"
    summary = "Removes the channels whose filters are most like all others, not the smallest ones."
    source = "He et al., 2019, Filter Pruning via Geometric Median"

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the summed distances, (units,)."""
        layers = []
        for member in group.out_members:
            table = filters(subject.graph, member) if member.own else None
            if table is not None:
                held = present(member.positions)
                layers.append((_distances(table, held), held))
        return self.reduced(layers, group)


def _distances(table: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return for every row the sum of Euclidean distances to all rows that are there, (u,)."""
    own = table[held]
    lengths = np.square(own).sum(axis=1)
    squares = lengths[:, None] + lengths[None, :] - 2 * own @ own.T
    result = np.zeros(len(table))
    result[held] = np.sqrt(np.maximum(squares, 0.0)).sum(axis=1)
    return result
