"""LASSO: which few channels add up to nearly the same output (He et al., 2017).

Notation: Y = sum over units u of Z_u, Z_u what unit u adds to the output of a reader. The LASSO minimises
|Y - sum of b_u Z_u|² / 2 + t |b|_1; G with G_uv = <Z_u, Z_v> is all it needs.
"""

from __future__ import annotations

import numpy as np

from .least_squares import LeastSquaresPruning
from .scores import per_unit

_STEPS = 60
_SMALLEST = 1e-4
_SWEEPS = 10


class LassoSelection(LeastSquaresPruning):
    """Ranks the units of a group by the penalty at which the LASSO drops them from the sum."""

    id = "prune.lasso"
    title = "LASSO channel selection"
    summary = "Keeps the channels from which the next layer's output is rebuilt best, and rebuilds it."
    source = "He et al., 2017, Channel Pruning for Accelerating Very Deep Neural Networks"
    comparable = True

    def losses(self, weight: np.ndarray, covariance: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
        """Return the largest penalty at which each unit is used, as a share of the output's variance."""
        shared = (weight.T @ weight) * covariance
        gram = per_unit(per_unit(shared, columns).T, columns)
        total = float(gram.sum())
        return entry_penalties(gram / total) if total > 0 else np.zeros(len(columns))


def entry_penalties(gram: np.ndarray) -> np.ndarray:
    """Return the largest penalty at which each unit's coefficient is not zero, (u,).

    Units that differ by less than a step of the penalty are told apart by their coefficient at its end.
    """
    wanted = gram.sum(axis=1)
    largest = float(np.abs(wanted).max())
    found = np.zeros(len(gram))
    if largest <= 0:
        return found
    coefficients = np.zeros(len(gram))
    correlation = wanted.copy()
    diagonal = np.maximum(np.diag(gram), 1e-12 * largest)
    for penalty in largest * np.geomspace(1.0, _SMALLEST, _STEPS):
        for _ in range(_SWEEPS):
            moved = 0.0
            for unit in range(len(gram)):
                before = coefficients[unit]
                rest = correlation[unit] + diagonal[unit] * before
                after = np.sign(rest) * max(abs(rest) - penalty, 0.0) / diagonal[unit]
                if after != before:
                    correlation -= gram[:, unit] * (after - before)
                    coefficients[unit] = after
                    moved = max(moved, abs(after - before))
            if moved < 1e-4:
                break
        found = np.where((found == 0) & (coefficients != 0), penalty, found)
    strength = np.abs(coefficients) / max(float(np.abs(coefficients).max()), 1e-12)
    return found * (1 + 1e-3 * strength)
