"""Decides which of several measured points count, and how much of the space of figures they cover.

Notation: a point is a tuple of objectives, each to be made small; n points, d objectives. Only what is better by more
than the measurements' own scatter dominates (as in Teich, 2001, Pareto-Front Exploration with Uncertain Objectives).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def dominated(point: Point, others: Sequence[Point]) -> bool:
    """Whether another point is no worse anywhere, and somewhere better beyond both intervals."""
    return any(_beats(other, point) for other in others)


def on_front(points: Sequence[Point]) -> tuple[bool, ...]:
    """Return for every point whether none dominates it beyond noise; plain non-dominated points always stay."""
    return tuple(
        not dominated(point, [other for index, other in enumerate(points) if index != number])
        for number, point in enumerate(points)
    )


def _beats(first: Point, second: Point) -> bool:
    if any(mine > other for mine, other in zip(first.values, second.values, strict=True)):
        return False
    return any(
        mine + half < other - other_half
        for mine, half, other, other_half in zip(first.values, first.halves, second.values, second.halves, strict=True)
    )


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
