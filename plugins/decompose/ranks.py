"""How many components of a layer stay: by the plan's ratio, by the energy that must be kept, on whole multiples.

`rank_ratio` is the rank that is kept over the full rank, 1 = untouched. The full rank is that of the arrangement that a
method factorises: of a matrix (in, out) min(in, out), so that a square one shrinks from below 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RankRule:
    """What decides one layer's ranks.

    Attributes:
        ratio: Of the plan, 0-1; where an energy is asked for, the most that may stay.
        energy: Share of the sum of squares that must stay, 0-1; 0 leaves the rank to the ratio.
        multiple: Ranks are whole multiples of it where the full rank allows.
    """

    ratio: float
    energy: float = 0.0
    multiple: int = 1

    def of(self, energies: np.ndarray) -> int:
        """Return the rank for components of these energies (full rank,), largest first; at least 1."""
        rank = self.of_full(len(energies))
        return min(rank, self.rounded_up(needed(energies, self.energy), len(energies))) if self.energy else rank

    def of_full(self, full: int) -> int:
        """Return the rank that the ratio alone gives, rounded to the nearest multiple."""
        wanted = self.ratio * full
        return self._within(math.floor(wanted / self.multiple + 0.5) * self.multiple, full)

    def rounded_up(self, rank: int, full: int) -> int:
        """Return the next multiple from `rank` on."""
        return self._within(math.ceil(rank / self.multiple) * self.multiple, full)

    def _within(self, rank: int, full: int) -> int:
        return min(full, max(rank, self.multiple, 1))


def needed(energies: np.ndarray, share: float) -> int:
    """Return how many of the largest components hold `share` of all energy; at least 1."""
    total = float(energies.sum())
    if total <= 0:
        return 1
    kept = np.cumsum(energies) / total
    return min(int(np.searchsorted(kept, share - 1e-12)) + 1, len(energies))


def kept_share(energies: np.ndarray, rank: int) -> float:
    """Return the share of energy in the first `rank` components; 1 where there is none at all."""
    total = float(energies.sum())
    return float(energies[:rank].sum() / total) if total > 0 else 1.0
