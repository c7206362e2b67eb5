"""The baseline that every other strategy must beat: proposals at random, built as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.api import Proposal, Strategy

_TRIES = 200


class AtRandom(Strategy):
    """Draws every choice with equal probability."""

    name = "random"
    title = "At random"
    summary = "Every choice with equal probability; the baseline to compare other strategies with."
    source = "Bergstra and Bengio, 2012"
    screened = False

    def ask(self, count: int) -> Sequence[Proposal]:
        """Return new proposals; the same ones after as many finished candidates."""
        rng = np.random.default_rng([self.task.seed, 0xA7])
        drawn = [self.task.random(rng) for _ in range(_TRIES + 10 * len(self.task.spent))]
        return self.task.new(drawn)[:count]
