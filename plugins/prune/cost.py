"""What a model costs in the terms of a target, and what of it a channel of each group takes with it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, fold_batch_norm, graph_cost

from .parameters import Target


def counted(graph: ModelGraph, target: Target) -> int:
    """Return multiplications of one sample, parameters, or bytes of weights; batch norm counts as folded."""
    folded = fold_batch_norm(graph)
    if target == "size":
        return folded.weight_bytes
    cost = graph_cost(folded)
    return cost.params if target == "params" else cost.macs


def saved_by_unit(graph: ModelGraph, groups: Iterable[ChannelGroup], target: Target) -> dict[str, float]:
    """Return by group what the removal of one unit saves, the mean over its units.

    A layer of cost c that loses p of the n positions of an axis saves c p / n. Counted are multiplications, for
    targets of parameters or bytes the weights.

    Args:
        graph: The model.
        groups: Of the model.
        target: Says what is counted; multiplications where it is a latency or none.
    """
    macs = {cost.name: cost.macs for cost in graph_cost(graph).nodes}
    weights = target in ("params", "size")
    found: dict[str, float] = {}
    for group in groups:
        total = 0.0
        for member in group.members:
            gone = sum(map(len, member.positions))
            shape = graph.constant_shape(member.weight) if member.weight else None
            whole = float(np.prod(shape)) if shape else 0.0
            places = shape[member.weight_axis] if shape else gone
            total += (whole if weights else macs.get(member.layer, 0)) * gone / max(places, 1)
        found[group.id] = total / max(group.units, 1)
    return found
