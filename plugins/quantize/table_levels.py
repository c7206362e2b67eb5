"""Finds the few levels that suit the weights of a layer best, and rounds to them.

Notation: weight w, levels c_k of a layer, 2^b of them, in units of a scale s. k-means moves each level to the mean of
the weights nearest to it (Lloyd, 1982), each weighted by what its error counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDS = 100


def shared_levels(
    values: np.ndarray, count: int, *, even: bool = False, importance: np.ndarray | None = None
) -> np.ndarray:
    """Return at most `count` levels, ascending, with the least squared error that k-means finds.

    Args:
        values: (n,) float64, one or more.
        count: 1 or more.
        even: Begin at equal distances instead of equal numbers of weights.
        importance: (n,) what the squared error of each counts, 0 or more; all alike if None.
    """
    distinct = np.unique(values)
    if distinct.size <= count:
        return distinct
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    counted = np.ones(values.size) if importance is None or not importance.any() else importance[order]
    weights = np.concatenate([[0.0], np.cumsum(counted)])
    sums = np.concatenate([[0.0], np.cumsum(counted * ordered)])
    if even:
        levels = np.linspace(ordered[0], ordered[-1], count)
    else:
        places = np.searchsorted(weights[1:], (np.arange(count) + 0.5) / count * weights[-1])
        levels = ordered[np.minimum(places, ordered.size - 1)]
    levels = np.unique(levels)
    for _ in range(_ROUNDS):
        edges = np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
        bounds = np.concatenate([[0], edges, [ordered.size]])
        shares = np.diff(weights[bounds])
        means = np.diff(sums[bounds]) / np.where(shares > 0, shares, 1.0)
        moved = np.where(shares > 0, means, levels)
        if np.array_equal(moved, levels):
            break
        levels = moved
    return np.asarray(np.unique(levels))


@dataclass(frozen=True, eq=False)
class TableLevels:
    """The levels of every weight of a matrix.

    Attributes:
        table: (levels,) ascending.
        scales: s (out, columns).
        kept: (out, columns) whether a weight may be anything but zero.
    """

    table: np.ndarray
    scales: np.ndarray
    kept: np.ndarray

    def nearest(self, weight: np.ndarray) -> np.ndarray:
        """Return the nearest level of every weight."""
        middles = (self.table[1:] + self.table[:-1]) / 2
        return np.asarray(np.where(self.kept, self.table[np.searchsorted(middles, weight / self.scales)], 0.0))

    def values(self, levels: np.ndarray) -> np.ndarray:
        """Return the weights that levels stand for."""
        return np.asarray(levels * self.scales)

    def of(self, columns: np.ndarray) -> TableLevels:
        """Return the levels of the columns of these numbers, in their order."""
        return TableLevels(self.table, self.scales[:, columns], self.kept[:, columns])
