"""L1 norm: filters with small weights contribute little (Li et al., 2017)."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, Tools

from .structured import ChannelPruning


class L1Norm(ChannelPruning):
    """Ranks the units of a group by the L1 norms of their filters, summed over all layers that make the channels."""

    id = "prune.l1"
    title = "L1-norm channel pruning"
    summary = "Removes the channels whose filters have the smallest absolute weights."
    source = "Li et al., 2017, Pruning Filters for Efficient ConvNets"

    def importance(self, graph: ModelGraph, group: ChannelGroup, tools: Tools) -> np.ndarray:
        """Return the summed norms, (units,)."""
        scores = np.zeros(group.units)
        for member in group.out_members:
            weight = graph.constant(member.weight) if member.weight else None
            if weight is None:
                continue
            moved = np.moveaxis(weight, member.weight_axis, 0).reshape(weight.shape[member.weight_axis], -1)
            norms = np.abs(moved).sum(axis=1, dtype=np.float64)
            scores += [norms[list(positions)].sum() for positions in member.positions]
        return scores
