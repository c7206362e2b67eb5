"""Batch-norm scale: a channel that normalisation itself makes small is not needed (Network Slimming, Liu 2017)."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, Requirement

from .scores import per_unit, present
from .structured import ChannelPruning
from .subject import Subject

_FOLDED_FROM = frozenset({"Conv"})


class BatchNormScale(ChannelPruning):
    """Ranks the units of a group by the absolute scale of the batch norm behind the layers that make them.

    In a file with folded batch norm the scale is recovered: normalisation makes the deviation of a channel its scale,
    so that the deviation measured on calibration samples says what the scale was.
    """

    id = "prune.bn_scale"
    title = "Batch-norm-scale channel pruning (Network Slimming)"
    summary = "Removes the channels with the smallest batch-norm scale; works best after training with sparse scales."
    source = "Liu et al., 2017, Learning Efficient Convolutional Networks through Network Slimming"
    comparable = True

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return that samples are needed where no layer has batch norm any more."""
        has_scale = any(node.op == "BatchNormalization" for node in graph.nodes)
        needed = super().requirements(graph)
        return needed if has_scale else needed | {Requirement.DATA}

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why a group has no scale: no layer that makes it has batch norm, or could have had one."""
        found = super().obstacle(graph, group)
        if found is not None:
            return found
        for member in group.out_members:
            node = graph.node(member.layer)
            readers = graph.consumers(node.outputs[0])
            if len(readers) == 1 and readers[0].op == "BatchNormalization":
                return None
            if member.own and node.op in _FOLDED_FROM and self.parameters.restore_batch_norm:
                return None
        names = ", ".join(dict.fromkeys(member.layer for member in group.out_members if member.own))
        return f"{names} has no batch norm, and none that was folded into it can be given back"

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the scales, (units,).

        Raises:
            RecipeError: no layer of the group has batch norm.
        """
        scales = subject.scales()
        layers = [
            (per_unit(scales[member.layer], member.positions, "mean"), present(member.positions))
            for member in group.out_members
            if member.layer in scales and len(scales[member.layer]) >= sum(map(len, member.positions))
        ]
        if not layers:
            raise self.refusal(group, "batch norm could not be given back to the layers that make its channels")
        return self.reduced(layers, group)
