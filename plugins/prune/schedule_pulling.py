"""What penalties share that act while a network is trained: they are gradients, and the report says what they did."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from .schedule_base import Ground
from .schedule_hook import PruningHook

# What pulling leaves of a weight that nothing holds, where the penalty is found by itself.
_LEFT = 0.01
_SHORTENED = 0.1


def _reach(ground: Ground, growth: np.ndarray) -> float:
    """Return how far a unit of force moves a weight in a training along half a cosine, momentum included.

    Args:
        ground: Says rate and momentum.
        growth: Share of its full strength that the force has at every step, (steps,).
    """
    training = ground.training.parameters
    cosine = 0.5 * (1 + np.cos(np.pi * (np.arange(len(growth)) + 0.5) / len(growth)))
    return float(training.learning_rate * (cosine * growth).sum() / (1 - training.momentum))


def fading_penalty(ground: Ground, growth: np.ndarray) -> float:
    """Return the strength that leaves a hundredth of a weight by the end, if only the penalty acts on it."""
    return float(-np.log(_LEFT) / _reach(ground, growth))


def constant_penalty(ground: Ground, steps: int, lengths: np.ndarray) -> float:
    """Return the force of constant size that by itself would take a tenth off the median of some lengths (n,).

    All are pulled, also what the network needs. ResNet-20, 3 epochs of 39 steps, 3 more after the cut: the whole median
    0.541 (group lasso) and 0.673 (slimming), a quarter of it 0.722 and 0.698, a twelfth 0.735 and 0.708.
    """
    return float(_SHORTENED * np.median(lengths) / _reach(ground, np.ones(steps)))


class ShrinkingHook(PruningHook):
    """Pulls something towards zero while training; subclasses say what, and which units go in the end.

    Args:
        ground: Of the schedule.
        penalty: Its strength, or None for the usual one.

    Attributes:
        penalty: The strength, from `begin` on.
    """

    def __init__(self, ground: Ground, penalty: float | None) -> None:
        super().__init__(ground)
        self._given, self.penalty = penalty, 0.0
        self._first: dict[str, list[float]] = {}
        self._left: float | None = None

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Remember how long all units are, and find out how strong the penalty is to be."""
        super().begin(weights, epochs, steps_per_epoch)
        self._first = {group: self.live.norms(group).tolist() for group in self.live.units}
        self.penalty = self.usual_penalty() if self._given is None else self._given

    @abstractmethod
    def usual_penalty(self) -> float:
        """Return the strength that suits the training, its units and weights being known."""

    def after_backward(self, step: int) -> None:
        """Add the slopes of the penalty."""
        super().after_backward(step)
        self.pull(step)

    def after_step(self, step: int) -> None:
        """Leave to the gradients what becomes of the units."""

    @abstractmethod
    def pull(self, step: int) -> None:
        """Add the slopes of the penalty to the gradients."""

    def after_epoch(self, epoch: int) -> None:
        """Note how long the units are that go, or would go now, before they are zeroed in the end."""
        self.removal = self.decided()
        before = after = 0.0
        for group, gone in self.removal.items():
            before += sum(self._first[group][unit] for unit in gone)
            after += float(self.live.norms(group)[list(gone)].sum())
        self._left = after / before if before > 0 else None
        self.record.append({"epoch": epoch + 1, "length_left": self._left})
        if epoch + 1 == self.epochs:
            self.live.zero(self.removal)

    def notes(self) -> tuple[str, ...]:
        """Return what the penalty left of the channels."""
        if self._left is None:
            return ()
        left = f"Removed channels had come to {self._left:.2g} of their first length (Euclidean, all weights)"
        return (f"{left}; penalty {self.penalty:.3g}.",)

    def state(self) -> dict[str, Any]:
        """Return all that is not in the weights."""
        return {**super().state(), "first": self._first, "left": self._left, "penalty": self.penalty}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self._first, self._left = dict(state["first"]), state["left"]
        self.penalty = state["penalty"]


class PullingHook(ShrinkingHook):
    """Pulls whole units: filters, normalisation and what reads them."""

    def pull(self, step: int) -> None:
        """Add to the gradients of each unit its weights times its strength."""
        for group in self.live.units:
            self.live.pull(group, self.strengths(group, step))

    @abstractmethod
    def strengths(self, group: str, step: int) -> np.ndarray:
        """Return the strength of the penalty on every unit, (u,)."""
