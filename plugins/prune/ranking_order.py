"""Puts the units of several groups into the one order in which a ranking of all layers takes them.

Layers are compared by how a channel stands to the others of its layer. Who these are changes while channels go, so the
scale of each layer is taken anew from what is left of it, in rounds: ranked only once, a layer of many small channels
and a few large ones keeps the small ones, as the large ones make them no smaller than they are (measured: see
`ranking_rounds`). The scores themselves stay, so that the outcome is one ratio per group and the same units.

Notation: a group has u units, of which g are gone; a share of what is left goes in each round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from workbench.api import ModelGraph

from .cost import saved_by_unit
from .parameters import Normalisation, PruningParameters
from .selection import GroupRatio

_TINY = 1e-30


def removal_order(
    graph: ModelGraph,
    free: Sequence[GroupRatio],
    scores: Mapping[str, np.ndarray],
    parameters: PruningParameters,
    largest: float,
    poll: Callable[[], None] = lambda: None,
) -> list[str]:
    """Return group ids: the group that loses its least important unit first, the next one, and so on.

    Args:
        graph: The model.
        free: Groups that the ranking may take from.
        scores: Importance of every unit (u,), by group id, normalised within layers as the parameters say.
        parameters: Rounds, normalisation ("auto" was decided by now), and whether a saving divides the scores.
        largest: Share of a group that may go at most.
        poll: Called in every round; raises where the user cancelled.
    """
    names = [entry.group.id for entry in free]
    savings = dict.fromkeys(names, 1.0)
    if parameters.per_cost:
        savings = saved_by_unit(graph, [entry.group for entry in free], parameters.target)
    layers = [_Layer(entry, scores[entry.group.id], largest, max(savings[entry.group.id], _TINY)) for entry in free]
    left = sum(entry.group.units for entry in free)
    in_rounds = parameters.ranking_rounds > 1 and parameters.normalisation in ("mean", "standard")
    share = 1 - 0.5 ** (1 / parameters.ranking_rounds) if in_rounds else 1.0
    order: list[str] = []
    while any(layer.open for layer in layers):
        poll()
        rescaled = [layer.rescaled(parameters.normalisation) for layer in layers]
        # Standard scores lie around zero, and a quotient of a negative one would rank the other way round.
        lowest = min(0.0, *(float(each.min(initial=0.0)) for each in rescaled)) if parameters.per_cost else 0.0
        ranking = sorted(
            (float(score - lowest) / layer.saving, place, index)
            for place, (layer, own) in enumerate(zip(layers, rescaled, strict=True))
            for index, score in enumerate(own)
        )
        count = math.ceil(left * share)
        for _, place, _ in ranking[:count]:
            layers[place].gone += 1
            order.append(names[place])
        left -= count
    return order


class _Layer:
    """A group's units on their way out.

    Attributes:
        gone: How many are gone.
        saving: What the removal of one saves.
    """

    def __init__(self, entry: GroupRatio, scores: np.ndarray, largest: float, saving: float) -> None:
        group = entry.group
        free = np.ones(group.units, dtype=bool)
        free[list(group.locked)] = False
        self._own, self._held = np.sort(scores[free]), scores[~free]
        self._first = scores
        self._most = min(math.floor(largest * group.units + 1e-9), len(self._own))
        self.gone, self.saving = 0, saving

    @property
    def open(self) -> bool:
        """Whether another unit may go."""
        return self.gone < self._most

    def rescaled(self, how: Normalisation) -> np.ndarray:
        """Return the scores of the units that may go next, lowest first, on the scale of the units that are left.

        Only what the removals changed of the scale is taken out: what a reduction over layers made of the scores of
        several stays.
        """
        scores = self._own[self.gone : self._most]
        if not self.gone:
            return scores
        left = np.concatenate([self._own[self.gone :], self._held])
        if how == "mean":
            return np.asarray(scores * (np.abs(self._first).mean() / max(float(np.abs(left).mean()), _TINY)))
        if how == "standard":
            deviations = (scores - left.mean()) / max(float(left.std()), _TINY)
            return np.asarray(self._first.mean() + deviations * self._first.std())
        return scores
