"""Which points nothing else beats, and the step line through them; pure, so that plot, table and tests agree."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]


def front(points: Sequence[Point]) -> tuple[int, ...]:
    """Return the indices of the points that no other point beats, cheapest first.

    A point (cost, score) is beaten by one that costs no more and scores no less, and is better in one of the two.
    Equal points stay on the front together. Points with a value that is not a number are never on it.
    """
    order = sorted(
        (index for index, (cost, score) in enumerate(points) if cost == cost and score == score),
        key=lambda index: (points[index][0], -points[index][1]),
    )
    kept: list[int] = []
    for index in order:
        if not kept or points[index][1] > points[kept[-1]][1] or points[index] == points[kept[-1]]:
            kept.append(index)
    return tuple(kept)


def step_line(points: Sequence[Point]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return x and y of the line under which everything is beaten: level until the next better point, then up."""
    xs: list[float] = []
    ys: list[float] = []
    for index in front(points):
        cost, score = points[index]
        if ys and ys[-1] != score:
            xs.append(cost)
            ys.append(ys[-1])
        xs.append(cost)
        ys.append(score)
    return tuple(xs), tuple(ys)
