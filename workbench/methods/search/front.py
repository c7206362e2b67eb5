"""Decides which of several measured points count, and how much of the space of figures they cover.

Notation: a point is a tuple of objectives, each to be made small; n points, d objectives. Only what is better by more
than the measurements' own scatter dominates (as in Teich, 2001, Pareto-Front Exploration with Uncertain Objectives).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROWS = 256
Values = tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """One candidate's objectives, smaller is better.

    Attributes:
        values: (d,) as measured.
        halves: (d,) half widths of their 95 % intervals; 0 for what is counted, not measured.
    """

    values: Values
    halves: Values


def on_front(points: Sequence[Point]) -> tuple[bool, ...]:
    """Return for every point whether none dominates it beyond noise; plain non-dominated points always stay.

    Another one dominates a point that is no worse anywhere, and somewhere better beyond both intervals.
    """
    if not points:
        return ()
    values, halves = np.array([point.values for point in points]), np.array([point.halves for point in points])
    kept: list[bool] = []
    # Rows at a time, so that thousands of points need no matrix of millions.
    for begin in range(0, len(points), _ROWS):
        mine = slice(begin, begin + _ROWS)
        worse, better = (np.zeros((len(values[mine]), len(points)), bool) for _ in range(2))
        for value, half in zip(values.T, halves.T, strict=True):
            worse |= value[None] > value[mine, None]
            better |= (value + half)[None] < (value - half)[mine, None]
        beaten = np.asarray((better & ~worse).any(axis=1))
        kept += [not one for one in beaten.tolist()]
    return tuple(kept)


def hypervolume(points: Sequence[Values], reference: Values) -> float:
    """Return the volume that is dominated by the points and bounded by the reference (Zitzler and Thiele, 1998).

    Slices along the last objective; exact, and fast enough for the hundreds of points that a search measures.
    """
    inside = sorted(
        {point for point in points if all(value < bound for value, bound in zip(point, reference, strict=True))}
    )
    return _volume(inside, reference)


def gain(point: Values, points: Sequence[Values], reference: Values) -> float:
    """Return by how much a point would enlarge the hypervolume of the others."""
    return hypervolume([*points, point], reference) - hypervolume(points, reference)


def _volume(points: Sequence[Values], reference: Values) -> float:
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(point[0] for point in points)
    if len(reference) == 2:
        total, lowest = 0.0, reference[1]
        for x, y in sorted(points):
            if y < lowest:
                total += (reference[0] - x) * (lowest - y)
                lowest = y
        return total
    total = 0.0
    ordered = sorted(points, key=lambda point: point[-1])
    bounds = [*(point[-1] for point in ordered[1:]), reference[-1]]
    for number, (point, bound) in enumerate(zip(ordered, bounds, strict=True), 1):
        if bound > point[-1]:
            slab = [other[:-1] for other in ordered[:number]]
            total += (bound - point[-1]) * _volume(slab, reference[:-1])
    return total
