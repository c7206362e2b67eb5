"""Optimal Brain Surgeon for channels: remove the one that costs least once the others have made up for it, again.

Notation: W (o, p) the weight of a reader, H (p, p) the Hessian of its squared output error, that is the covariance of
what it reads, M = H⁻¹; B the columns of one unit. Removing the unit and correcting all other columns costs
tr(W_B (M_BB)⁻¹ W_Bᵀ) / 2 and changes W by -W_B (M_BB)⁻¹ M_B (Hassibi and Stork, 1993; in blocks Kurtic et al., 2023).
"""

from __future__ import annotations

import numpy as np

from .least_squares import LeastSquaresPruning
from .reconstruction import RIDGE

_ROUNDS = 128


class OptimalBrainSurgeon(LeastSquaresPruning):
    """Ranks the units of a group by what their removal costs at their turn, after the units before them have gone."""

    id = "prune.obs"
    title = "Group channel surgeon (OBS)"
    summary = "Removes channel after channel where the next layer's weights can make up for it best, and lets them."
    source = "Hassibi & Stork, 1993, Optimal Brain Surgeon; Kurtic et al., 2023, ZipLM"
    comparable = True

    def losses(self, weight: np.ndarray, covariance: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
        """Return the cost of each unit at its turn, as a share of the output's variance."""
        energy = float(np.einsum("op,pq,oq->", weight, covariance, weight, optimize=True))
        if energy <= 0:
            return np.zeros(len(columns))
        return removal_costs(weight, covariance, columns) / energy


def removal_costs(weight: np.ndarray, covariance: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Return the cost of every unit at its turn, never less than that of a unit that went before, (u,).

    In layers with many units several of the cheapest go at a time.
    """
    damping = RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    inverse = np.linalg.inv(covariance + damping * np.eye(len(covariance)))
    weight = weight.copy()
    left = [unit for unit, places in enumerate(columns) if len(places)]
    costs = np.zeros(len(columns))
    at_a_time = max(1, len(left) // _ROUNDS)
    reached = 0.0
    while left:
        now = {unit: _cost(weight, inverse, columns[unit]) for unit in left}
        for unit in sorted(left, key=lambda unit: (now[unit], unit))[:at_a_time]:
            reached = max(reached, _cost(weight, inverse, columns[unit]))
            costs[unit] = reached
            places = columns[unit]
            step = np.linalg.solve(inverse[np.ix_(places, places)], inverse[places])
            weight -= weight[:, places] @ step
            inverse -= inverse[:, places] @ step
            # What is gone has no inverse any more; its rows only hold what rounding left of zero.
            weight[:, places] = 0.0
            inverse[places], inverse[:, places] = 0.0, 0.0
            left.remove(unit)
    return costs


def _cost(weight: np.ndarray, inverse: np.ndarray, places: np.ndarray) -> float:
    block = weight[:, places]
    return 0.5 * float(np.sum(block * np.linalg.solve(inverse[np.ix_(places, places)], block.T).T))
