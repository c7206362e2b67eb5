"""Random channels: the baseline that a criterion has to beat."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, Tools

from .structured import ChannelPruning


class RandomChannels(ChannelPruning):
    """Ranks the units of a group by chance, the same way for the same seed."""

    id = "prune.random"
    title = "Random channel pruning"
    summary = "Removes channels at random: the baseline for every criterion."

    def importance(self, graph: ModelGraph, group: ChannelGroup, tools: Tools) -> np.ndarray:
        """Return random numbers, (units,)."""
        return tools.rng.random(group.units)
