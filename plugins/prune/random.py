"""Random channels: the baseline that a criterion has to beat."""

from __future__ import annotations

import numpy as np

from workbench.api import ChannelGroup

from .structured import ChannelPruning
from .subject import Subject


class RandomChannels(ChannelPruning):
    """Ranks the units of a group by chance, the same way for the same seed."""

    id = "prune.random"
    title = "Random channel pruning"
    summary = "Removes channels at random: the baseline for every criterion."
    source = "Mittal et al., 2018, Recovering from Random Pruning"
    comparable = True

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return random numbers, (units,)."""
        return subject.tools.rng.random(group.units)
