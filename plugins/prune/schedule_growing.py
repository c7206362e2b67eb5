"""Growing penalties: unimportant channels are pulled towards zero harder and harder, until nothing is lost with them.

The penalty is half a strength times the squared weights of a whole unit: its filters, its normalisation, and what reads
it. Three ways to say who is unimportant: by the first ranking (GReg-1), by one after all were pulled alike (GReg-2),
or anew at every examination, each channel with a strength of its own (IncReg).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from .schedule_base import Ground
from .schedule_hook import HookedPruning
from .schedule_parameters import ExaminedParameters, HookedParameters
from .schedule_pulling import PullingHook, fading_penalty
from .schedule_ranks import MeanRanks, is_due

# Share of the training after which the penalty no longer grows, so that the network settles at its full strength.
_FULL_AT = 0.75


class GrowingParameters(HookedParameters):
    """Parameters of GReg-1."""

    penalty: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="Penalty",
        description="Strength that the penalty on unimportant channels grows to; it acts like weight decay. Empty "
        "takes the one that would shrink them to a hundredth within the schedule's epochs.",
    )


class PickingParameters(GrowingParameters):
    """Parameters of GReg-2."""

    picking_penalty: float = Field(
        0.01,
        gt=0,
        le=1000,
        title="Picking penalty",
        description="Strength that the penalty on all channels has when the unimportant ones are picked.",
    )
    picking_share: float = Field(
        0.3,
        gt=0,
        lt=_FULL_AT,
        title="Picking share",
        description="When they are picked, as a share of the schedule's epochs.",
        json_schema_extra={"unit": "share of the schedule"},
    )


class IncrementalParameters(ExaminedParameters, GrowingParameters):
    """Parameters of IncReg."""


class GrowingHook(PullingHook):
    """GReg-1: pulls what the ranking before the training found unimportant."""

    def __init__(self, ground: Ground, parameters: GrowingParameters) -> None:
        super().__init__(ground, parameters.penalty)
        self.picked: dict[str, tuple[int, ...]] = ground.chosen(ground.scores)

    def usual_penalty(self) -> float:
        """Return the strength that shrinks the picked units to a hundredth."""
        return fading_penalty(self.ground, self._growth())

    def strengths(self, group: str, step: int) -> np.ndarray:
        """Return the same growing strength for all picked units."""
        return self._picked_at(group, self.penalty * self._growth()[step])

    def _growth(self) -> np.ndarray:
        """Return the share of its full strength that the penalty has at every step, (steps,)."""
        return _rising(self.steps)

    def _picked_at(self, group: str, strength: float) -> np.ndarray:
        result = np.zeros(self.live.units[group])
        result[list(self.picked.get(group, ()))] = strength
        return result

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the picked units."""
        return self.picked


class PickingHook(GrowingHook):
    """GReg-2: pulls all units alike at first; those that give way most are picked."""

    def __init__(self, ground: Ground, parameters: PickingParameters) -> None:
        super().__init__(ground, parameters)
        self._picking = parameters.picking_penalty
        self._share = parameters.picking_share
        self.picked = {}

    def strengths(self, group: str, step: int) -> np.ndarray:
        """Return one strength for all until units are picked, then a growing one for those."""
        at = self._picked_after()
        if step < at:
            return np.full(self.live.units[group], self._picking * (step + 1) / at)
        if not self.picked:
            self.picked = self.ground.chosen(self.ranked())
        return self._picked_at(group, self._picking + (self.penalty - self._picking) * self._growth()[step])

    def _growth(self) -> np.ndarray:
        at = self._picked_after()
        return np.clip((np.arange(1, self.steps + 1) - at) / max(_FULL_AT * self.steps - at, 1), 0.0, 1.0)

    def _picked_after(self) -> int:
        return max(int(self._share * self.steps), 1)

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the picked units; before they are picked, those that would be."""
        return self.picked or self.ground.chosen(self.ranked())

    def state(self) -> dict[str, Any]:
        """Return all that is not in the weights."""
        return {**super().state(), "picked": {group: list(units) for group, units in self.picked.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self.picked = {group: tuple(units) for group, units in state["picked"].items()}


class IncrementalHook(PullingHook):
    """IncReg: every unit has a strength of its own, which each examination raises or lowers by its mean rank."""

    def __init__(self, ground: Ground, parameters: IncrementalParameters) -> None:
        super().__init__(ground, parameters.penalty)
        self._examinations = parameters.examinations
        self._ranks = MeanRanks(ground)
        self._strengths = {group.id: np.zeros(group.units) for group in ground.groups}

    def usual_penalty(self) -> float:
        """Return the strength that shrinks the unit ranked last throughout to a hundredth."""
        return fading_penalty(self.ground, _rising(self.steps))

    def strengths(self, group: str, step: int) -> np.ndarray:
        """Return the strengths so far."""
        return self._strengths[group]

    def after_step(self, step: int) -> None:
        """Examine where it is time."""
        if is_due(step, self.steps, self._examinations):
            self._ranks.add(self.ranked())
            for group, before in self._strengths.items():
                added = self._ranks.steps(group, np.zeros(len(before), dtype=bool), self._increments)
                self._strengths[group] = np.clip(before + added, 0.0, self.penalty)

    def _increments(self, places: np.ndarray, wanted: int, count: int) -> np.ndarray:
        """Return A - A·r/(R·n) up to place R·n, and on down to -A on the last one (Wang et al., 2019)."""
        behind = (places - wanted) / max(count - 1 - wanted, 1)
        # The least important unit reaches the full penalty when so many examinations are over.
        most = self.penalty / max(_FULL_AT * self._examinations, 1)
        return np.asarray(most * np.where(places <= wanted, 1 - places / wanted, -behind))

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the units with the lowest mean ranks, which are those that were pulled hardest."""
        if not self._ranks.examinations:
            return self.ground.chosen(self.ranked())
        return self.ground.chosen({group: self._ranks.means(group) for group in self._strengths})

    def state(self) -> dict[str, Any]:
        """Return all that is not in the weights."""
        own = {"strengths": {group: values.tolist() for group, values in self._strengths.items()}}
        return {**super().state(), **own, "ranks": self._ranks.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self._strengths = {group: np.asarray(values) for group, values in state["strengths"].items()}
        self._ranks.restore(state["ranks"])


def _rising(steps: int) -> np.ndarray:
    return np.minimum(np.arange(1, steps + 1) / (_FULL_AT * steps), 1.0)


class GrowingRegularization(HookedPruning):
    """Pulls the channels that one ranking finds unimportant towards zero, then removes them."""

    id = "schedule.greg1"
    title = "Growing regularization (GReg-1)"
    summary = "Ranks channels once, then pulls the unimportant ones towards zero with a growing penalty before they go."
    source = "Wang et al., 2021, Neural Pruning via Growing Regularization"
    Parameters = GrowingParameters

    def hook(self, ground: Ground) -> PullingHook:
        """Return the pulling."""
        return GrowingHook(ground, self.parameters)


class PickingRegularization(HookedPruning):
    """Pulls all channels alike until they differ, then goes on with those that gave way."""

    id = "schedule.greg2"
    title = "Growing regularization (GReg-2)"
    summary = "Pulls all channels a little, picks those that give way, and pulls them to zero before they go."
    source = "Wang et al., 2021, Neural Pruning via Growing Regularization"
    Parameters = PickingParameters

    def hook(self, ground: Ground) -> PullingHook:
        """Return the pulling."""
        return PickingHook(ground, self.parameters)


class IncrementalRegularization(HookedPruning):
    """Gives each channel a penalty of its own, raised or lowered at every examination."""

    id = "schedule.increg"
    title = "Incremental regularization (IncReg)"
    summary = "Raises or lowers a penalty on each channel by its rank at many examinations; what shrank away goes."
    source = "Wang et al., 2019, Structured Pruning for Efficient ConvNets via Incremental Regularization"
    Parameters = IncrementalParameters

    def hook(self, ground: Ground) -> PullingHook:
        """Return the pulling."""
        return IncrementalHook(ground, self.parameters)
