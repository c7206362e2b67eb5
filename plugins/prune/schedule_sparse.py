"""Sparse training before the cut: penalties that make some of a layer's channels small and spare the others.

Unlike growing penalties they know no victims: every channel is pulled with a force that does not fall as it shrinks, so
that those that the loss does not hold reach zero.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from workbench.api import ChannelGroup, ModelGraph

from .bn_scale import BatchNormScale
from .schedule_base import Ground
from .schedule_hook import HookedPruning
from .schedule_parameters import CriterionName, HookedParameters
from .schedule_pulling import PullingHook, ShrinkingHook, constant_penalty

_TINY = 1e-8


class GroupLassoParameters(HookedParameters):
    """Parameters of group lasso."""

    criterion: CriterionName = Field(
        "l2",
        title="Criterion",
        description="What ranks the channels after the sparse training: l1, l2, geometric_median, bn_scale or taylor.",
    )
    penalty: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="Penalty",
        description="Strength of the sum of all channels' Euclidean lengths in the loss. Empty takes the one that "
        "would take a tenth off their median within the schedule's epochs if nothing held them.",
    )


class SlimmingParameters(HookedParameters):
    """Parameters of network slimming."""

    criterion: CriterionName = Field(
        "bn_scale",
        title="Criterion",
        description="What ranks the channels after the sparse training: bn_scale, l1, l2, geometric_median or taylor.",
    )
    penalty: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="Penalty",
        description="Strength of the sum of all normalisation scales in the loss. Empty takes the one that would "
        "take a tenth off their median within the schedule's epochs if nothing held them.",
    )


class LassoHook(PullingHook):
    """Pulls every unit with a force of constant size."""

    def usual_penalty(self) -> float:
        """Return the force that would take a tenth off the median length."""
        return constant_penalty(self.ground, self.steps, np.concatenate(list(map(self.live.norms, self.live.units))))

    def strengths(self, group: str, step: int) -> np.ndarray:
        """Return the penalty over the length of every unit, since the slope of a length is the direction."""
        return np.asarray(self.penalty / (self.live.norms(group) + _TINY))

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the least important units of the present ranking."""
        return self.ground.chosen(self.ranked())


class SlimmingHook(ShrinkingHook):
    """Pulls the scales of the batch norm behind the layers that make a group's channels."""

    def __init__(self, ground: Ground, penalty: float | None) -> None:
        super().__init__(ground, penalty)
        nodes = ground.graph.nodes
        self._scales = frozenset(node.inputs[1] for node in nodes if node.op == "BatchNormalization")

    def usual_penalty(self) -> float:
        """Return the force that would take a tenth off the median scale."""
        scales = [np.abs(array).ravel() for array in self.live.arrays(self._scales).values()]
        return constant_penalty(self.ground, self.steps, np.concatenate(scales))

    def pull(self, step: int) -> None:
        """Add the sign of the scales, the slope of their absolute value."""
        for group in self.live.units:
            self.live.pull_signs(group, self._scales, self.penalty)

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the least important units of the present ranking."""
        return self.ground.chosen(self.ranked())


class GroupLasso(HookedPruning):
    """Trains with group lasso over whole channel groups, then removes the least important channels."""

    id = "schedule.group_lasso"
    title = "Group lasso"
    summary = "Trains with a penalty on the length of every channel with all that is coupled to it, then prunes."
    source = "Wen et al., 2016, Learning Structured Sparsity in Deep Neural Networks"
    Parameters = GroupLassoParameters

    def hook(self, ground: Ground) -> LassoHook:
        """Return the pulling."""
        return LassoHook(ground, self.parameters.penalty)


class NetworkSlimming(HookedPruning):
    """Trains with an L1 penalty on normalisation scales, then removes the channels with small ones."""

    id = "schedule.slimming"
    title = "Network slimming"
    summary = "Trains with a penalty on the scales of batch norm, then prunes the channels that it made small."
    source = "Liu et al., 2017, Learning Efficient Convolutional Networks through Network Slimming"
    Parameters = SlimmingParameters

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why there is no scale that could be made small, naming the layer."""
        return BatchNormScale(self.parameters.ranking()).obstacle(graph, group)

    def hook(self, ground: Ground) -> SlimmingHook:
        """Return the pulling."""
        return SlimmingHook(ground, self.parameters.penalty)
