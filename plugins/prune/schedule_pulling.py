"""What penalties share that act while a network is trained: they are gradients, and the report says what they did."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from .schedule_base import Ground
from .schedule_hook import PruningHook


class ShrinkingHook(PruningHook):
    """Pulls something towards zero while training; subclasses say what, and which units go in the end."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._first: dict[str, list[float]] = {}
        self._left: float | None = None

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Remember how long all units are."""
        super().begin(weights, epochs, steps_per_epoch)
        self._first = {group: self.live.norms(group).tolist() for group in self.live.units}

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
        return (f"Removed channels had come to {self._left:.2g} of their first length (Euclidean, all weights).",)

    def state(self) -> dict[str, Any]:
        """Return all that is not in the weights."""
        return {**super().state(), "first": self._first, "left": self._left}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self._first, self._left = dict(state["first"]), state["left"]


class PullingHook(ShrinkingHook):
    """Pulls whole units: filters, normalisation and what reads them."""

    def pull(self, step: int) -> None:
        """Add to the gradients of each unit its weights times its strength."""
        for group in self.live.units:
            self.live.pull(group, self.strengths(group, step))

    @abstractmethod
    def strengths(self, group: str, step: int) -> np.ndarray:
        """Return the strength of the penalty on every unit, (u,)."""
