"""The scores of movement pruning: which weights move towards zero, step by step, and which are zero for now.

Notation: w the weights, w' = w · m what the model computes with, m the mask, g = dL/dw' the gradient, s the scores:
s falls by w · g every step; m keeps the highest s (Sanh et al., 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .patterns import zeros
from .schedule import Rise
from .subjects import Subject


class MovementScores:
    """Watches weights while they are trained and sets the lowest scores to zero; implements TrainingHook.

    Args:
        subjects: Weights and targets.
        rise: How the share of zeros rises.
        update_steps: Steps after which the zeros are chosen anew.
        sparse: Weights whose zeros stand already, and count before any other.
    """

    def __init__(
        self, subjects: tuple[Subject, ...], rise: Rise, update_steps: int, sparse: frozenset[str] = frozenset()
    ) -> None:
        self._subjects, self._rise, self._every, self._sparse = subjects, rise, update_steps, sparse
        self._zeros: dict[str, np.ndarray] = {}
        self._used: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._scores: dict[str, Tensor] = {}
        self._masks: dict[str, Tensor] = {}
        self._steps = self._epochs = 1
        self._settled = False

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Take the weights, before the first step."""
        self._epochs, self._steps = epochs, max(epochs * steps_per_epoch, 1)
        self._used = {subject.weight: weights[subject.weight] for subject in self._subjects}
        self._zeros = {name: (self._used[name] == 0).cpu().numpy() for name in self._used if name in self._sparse}
        self._weights = {name: used.detach().clone() for name, used in self._used.items()}
        self._scores = {name: torch.zeros_like(used, dtype=torch.float32) for name, used in self._used.items()}
        self._masks = {name: torch.ones_like(used, dtype=torch.bool) for name, used in self._used.items()}

    def after_backward(self, step: int) -> None:
        """Let the scores follow the gradients, and keep these from what is zero."""
        for name, used in self._used.items():
            if used.grad is not None:
                self._scores[name] -= self._weights[name] * used.grad
                used.grad.mul_(self._masks[name])

    def after_step(self, step: int) -> None:
        """Remember the weights that were trained, and set those to zero that the scores say."""
        done = (step + 1) / self._steps
        for name, used in self._used.items():
            self._weights[name] = torch.where(self._masks[name], used, self._weights[name])
        if not self._settled and (self._rise.share(done) >= 1 or (step + 1) % self._every == 0):
            self._choose(done)
        for name, used in self._used.items():
            used.copy_(self._weights[name] * self._masks[name])

    def after_epoch(self, epoch: int) -> None:
        """Make sure that after the last epoch all zeros are there, however few steps it had."""
        if epoch + 1 == self._epochs and not self._settled:
            self._choose(1.0)
            for name, used in self._used.items():
                used.mul_(self._masks[name])

    def _choose(self, done: float) -> None:
        """Set the masks to what the schedule wants after a share of all steps."""
        self._settled = self._rise.share(done) >= 1
        for subject in self._subjects:
            target = self._rise.target(subject.target, done)
            if target is None:
                continue
            scores = subject.layout.matrices(self._scores[subject.weight].cpu().numpy())
            if subject.weight in self._zeros:
                gone = subject.layout.matrices(self._zeros[subject.weight])
                scores = np.where(gone, np.nextafter(scores.min(), np.float32(-np.inf)), scores)
            stays = subject.layout.stored(~zeros(scores, target))
            self._masks[subject.weight].copy_(torch.from_numpy(stays))

    def state(self) -> dict[str, Any]:
        """Return weights behind the zeros, scores and masks."""
        return {"weights": self._weights, "scores": self._scores, "masks": self._masks, "settled": self._settled}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, after `begin`."""
        self._settled = bool(state["settled"])
        for own, stored in (
            (self._weights, state["weights"]),
            (self._scores, state["scores"]),
            (self._masks, state["masks"]),
        ):
            for name, tensor in own.items():
                tensor.copy_(stored[name])
