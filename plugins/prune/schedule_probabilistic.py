"""Structured Probabilistic Pruning: channels are masked by chance, the more likely the longer they matter little.

Notation of the paper: A is the largest increment of an examination, u its share at the point of symmetry, R the share
of the n channels of a stratum that is to go. A channel on place r (0 is the least important) gets A·exp(-a·r) up to
place N = -ln(u)/a, and 2·u·A - A·exp(-a·(2·N - r)) behind it, with a = (ln 2 - ln u)/(R·n), so that place R·n gets
nothing and places behind it lose probability again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from .schedule_base import Ground
from .schedule_hook import HookedPruning, PruningHook
from .schedule_parameters import ExaminedParameters
from .schedule_ranks import MeanRanks, is_due


class ProbabilisticParameters(ExaminedParameters):
    """Parameters of SPP."""

    increment: float = Field(
        0.05,
        gt=0,
        le=1,
        title="Increment",
        description="The most that one examination adds to a pruning probability.",
        json_schema_extra={"unit": "probability"},
    )
    symmetry: float = Field(
        0.25,
        gt=0,
        lt=0.5,
        title="Symmetry",
        description="Share of the increment at which its curve over the ranks turns; small values decide sooner.",
    )


class ProbabilisticHook(PruningHook):
    """Masks channels by chance in every step; those that reach probability 1 are gone for good."""

    def __init__(self, ground: Ground, parameters: ProbabilisticParameters) -> None:
        super().__init__(ground)
        self._parameters = parameters
        self._ranks = MeanRanks(ground)
        self._probabilities = {group.id: np.zeros(group.units) for group in ground.groups}
        self._masked: dict[str, tuple[int, ...]] = {}
        self._settled = 0

    def after_backward(self, step: int) -> None:
        """Unmask the weights; those that did not take part have no gradient."""
        self.live.show()
        self.live.zero_gradients(self._masked, "reads")
        self._masked = {}
        super().after_backward(step)

    def after_step(self, step: int) -> None:
        """Examine where it is time, and draw the masks of the next step."""
        self.live.zero(self.removal)
        if is_due(step, self.steps, self._parameters.examinations):
            self._examine()
            self.live.zero(self.removal)
        rng = np.random.default_rng([self.ground.tools.seed, step])
        for group, probabilities in self._probabilities.items():
            drawn = (rng.random(len(probabilities)) < probabilities) & (probabilities < 1)
            self._masked[group] = tuple(np.flatnonzero(drawn).tolist())
        self.live.hide(self._masked, "reads")

    def after_epoch(self, epoch: int) -> None:
        """Unmask what was masked by chance, so that the epoch ends with the network itself."""
        self.live.show()
        self._masked = {}
        if epoch + 1 == self.epochs:
            self._settled = sum(map(len, self.removal.values()))
        super().after_epoch(epoch)
        probabilities = np.concatenate(list(self._probabilities.values()))
        self.record.append(
            {
                "epoch": epoch + 1,
                "settled_units": int((probabilities >= 1).sum()),
                "mean_probability": float(probabilities.mean()),
            }
        )

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the channels of the highest probabilities; among equals those of the lowest mean rank."""
        if not self._ranks.examinations:
            return self.ground.chosen(self.ranked())
        scores = {
            group: self._ranks.means(group) - 2 * probabilities for group, probabilities in self._probabilities.items()
        }
        return self.ground.chosen(scores)

    def notes(self) -> tuple[str, ...]:
        """Return how many channels chance had settled."""
        total = sum(map(len, self.removal.values()))
        return (
            f"{self._settled} of {total} channels reached probability 1 in {self._ranks.examinations} examinations; "
            "the rest went by the highest probabilities.",
        )

    def _examine(self) -> None:
        self._ranks.add(self.ranked())
        for group, before in self._probabilities.items():
            settled = before >= 1
            if self._ranks.complete(group, settled):
                self._probabilities[group] = settled.astype(np.float64)
                continue
            after = np.clip(before + self._ranks.steps(group, settled, self._increments), 0.0, 1.0)
            self._probabilities[group] = np.where(settled, 1.0, after)
        gone = {group: np.flatnonzero(values >= 1).tolist() for group, values in self._probabilities.items()}
        # Never all of what something needs, which the choice at the end looks after.
        kept = self.decided()
        self.removal = {group: tuple(sorted(set(units) & set(kept.get(group, ())))) for group, units in gone.items()}

    def _increments(self, places: np.ndarray, wanted: int, count: int) -> np.ndarray:
        return increments(places, wanted, self._parameters.increment, self._parameters.symmetry)

    def state(self) -> dict[str, Any]:
        """Return all that is not in the weights."""
        own = {"probabilities": {group: values.tolist() for group, values in self._probabilities.items()}}
        return {**super().state(), **own, "ranks": self._ranks.state(), "settled": self._settled}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self._probabilities = {group: np.asarray(values) for group, values in state["probabilities"].items()}
        self._ranks.restore(state["ranks"])
        self._settled = int(state["settled"])


def increments(places: np.ndarray, wanted: int, most: float, symmetry: float) -> np.ndarray:
    """Return what is added to the probabilities of channels by their places (n,), of which `wanted` are to go."""
    slope = (np.log(2) - np.log(symmetry)) / wanted
    centre = -np.log(symmetry) / slope
    # Far behind the centre the curve falls without end; probabilities are clipped anyway.
    beyond = np.exp(np.minimum(-slope * (2 * centre - places), 50.0))
    return np.asarray(most * np.where(places <= centre, np.exp(-slope * places), 2 * symmetry - beyond))


class ProbabilisticPruning(HookedPruning):
    """Masks channels by chance while training, with probabilities that follow their mean rank."""

    id = "schedule.spp"
    title = "Structured probabilistic pruning (SPP)"
    summary = "Masks channels by chance while training; their probabilities grow over many examinations until some go."
    source = "Wang et al., 2018, Structured Probabilistic Pruning for Convolutional Neural Network Acceleration"
    Parameters = ProbabilisticParameters

    def hook(self, ground: Ground) -> ProbabilisticHook:
        """Return the drawing of masks."""
        return ProbabilisticHook(ground, self.parameters)
