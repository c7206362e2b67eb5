"""Averages the ranks of channels over examinations, and says what share of a stratum is meant to go.

A single ranking of a network in training is noisy; the mean rank over time says who was unimportant all along
(Wang et al., 2018 and 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .schedule_base import Ground


class MeanRanks:
    """Mean ranks of the units of every stratum.

    Args:
        ground: Says which groups lose how much.

    Attributes:
        examinations: How many rankings were taken.
    """

    def __init__(self, ground: Ground) -> None:
        self.examinations = 0
        final = ground.chosen(ground.scores)
        self._sums = {group.id: np.zeros(group.units) for group in ground.groups}
        self._strata = {
            group.id: [
                (
                    np.asarray([unit for unit in stratum if unit not in group.locked], dtype=np.int64),
                    len(set(stratum) & set(final.get(group.id, ()))),
                )
                for stratum in group.strata
            ]
            for group in ground.groups
        }

    def add(self, scores: Mapping[str, np.ndarray]) -> None:
        """Take one ranking, of scores (u,) by group."""
        self.examinations += 1
        for group, strata in self._strata.items():
            for free, _ in strata:
                order = np.argsort(scores[group][free], kind="stable")
                self._sums[group][free[order]] += np.arange(len(free))

    def steps(self, group: str, settled: np.ndarray, rule: Callable[[np.ndarray, int, int], np.ndarray]) -> np.ndarray:
        """Return what an examination adds to each unit, (u,).

        Args:
            group: The group.
            settled: Which units (u,) are settled to go; they hold the lowest ranks.
            rule: Says from places (n,), the number of places from which units are to go, and n what is added.
        """
        result = np.zeros(len(settled))
        for free, wanted in self._strata[group]:
            if wanted:
                places = np.empty(len(free))
                places[np.lexsort((free, self._sums[group][free], ~settled[free]))] = np.arange(len(free))
                result[free] = rule(places, wanted, len(free))
        return result

    def means(self, group: str) -> np.ndarray:
        """Return mean ranks as shares of the number of units, (u,)."""
        return np.asarray(self._sums[group] / max(self.examinations * len(self._sums[group]), 1))

    def complete(self, group: str, settled: np.ndarray) -> bool:
        """Whether as many units of every stratum are settled as are to go."""
        return all(int(settled[free].sum()) >= wanted for free, wanted in self._strata[group])

    def state(self) -> dict[str, Any]:
        """Return plain values for `restore`."""
        return {"examinations": self.examinations, "sums": {name: sums.tolist() for name, sums in self._sums.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.examinations = int(state["examinations"])
        self._sums = {name: np.asarray(sums) for name, sums in state["sums"].items()}


def is_due(step: int, steps: int, examinations: int) -> bool:
    """Whether one of so many examinations, spread evenly over the steps, stands behind this step (0, 1, …)."""
    return (step + 1) * examinations // steps > step * examinations // steps
