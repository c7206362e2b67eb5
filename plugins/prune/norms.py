"""What the norm criteria share: which weights stand for a channel once normalisation was folded away."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np

from workbench.api import ChannelGroup, Member, ModelGraph

from .scores import per_unit, present, rows
from .structured import ChannelPruning
from .subject import Subject


class NormPruning(ChannelPruning):
    """Ranks the units of a group by a norm of the weights that make them.

    Without normalisation the norm is that of the filters that make the channel. In front of a layer's own
    normalisation their length says little, as it is divided away: the weights that *read* the channel count as much
    (Fang et al., 2023, DepGraph). Filters with folded normalisation have lost their norm: each was multiplied with a
    factor that nobody knows any more. Where normalisation was given back, the norm is that of the weights that read
    the channel, times the channel's measured deviation.
    """

    @abstractmethod
    def norm(self, values: np.ndarray) -> np.ndarray:
        """Return the norm over the last axis of values (…, k)."""

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the norms, (units,)."""
        makers = [member for member in group.out_members if member.own]
        readers = [member for member in group.members if member.axis == "in"]
        deviations, normalised = subject.deviations(), subject.scales()
        if readers and all(member.layer in deviations for member in makers):
            deviation = sum(per_unit(deviations[member.layer], member.positions) for member in makers)
            layers = [(deviation * scores, held) for scores, held in self._norms(subject.graph, readers)]
        elif readers and all(member.layer in normalised for member in makers):
            layers = list(self._norms(subject.graph, (*group.out_members, *readers)))
        else:
            layers = list(self._norms(subject.graph, group.out_members))
        return self.reduced(layers, group)

    def _norms(self, graph: ModelGraph, members: Iterable[Member]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        for member in members:
            table = rows(graph, member)
            if table is not None:
                yield per_unit(self.norm(table), member.positions), present(member.positions)
