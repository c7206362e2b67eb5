"""The learning rate of every step: a linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CosineSchedule:
    """Learning rate by step.

    Attributes:
        peak: Learning rate after the warm-up.
        steps: Steps of the whole training.
        warmup_steps: Steps of the warm-up.
    """

    peak: float
    steps: int
    warmup_steps: int

    @staticmethod
    def of(peak: float, epochs: int, warmup_epochs: float, steps_per_epoch: int) -> CosineSchedule:
        """Return the schedule of a training; the warm-up takes at most half of it."""
        steps = max(epochs * steps_per_epoch, 1)
        return CosineSchedule(peak, steps, min(round(warmup_epochs * steps_per_epoch), steps // 2))

    def rate(self, step: int) -> float:
        """Return the learning rate of step 0, 1, …; never zero, so that the last step counts."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
