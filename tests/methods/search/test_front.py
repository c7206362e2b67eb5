"""The front and its hypervolume, against the plainest way to compute both."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.methods.search.front import Point, gain, hypervolume, on_front

GRID = 6
coordinates = st.integers(0, GRID)


def points_of(dimensions: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    return st.lists(st.tuples(*[coordinates] * dimensions), max_size=7)


def cells(points: list[tuple[float, ...]], dimensions: int) -> int:
    """Return how many unit cells below the reference (GRID, …) some point dominates."""
    return sum(
        any(all(value <= corner for value, corner in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(range(GRID), repeat=dimensions)
    )


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@given(data=st.data())
def test_hypervolume_is_what_counting_cells_gives(dimensions: int, data: st.DataObject) -> None:
    points = data.draw(points_of(dimensions))
    assert hypervolume(points, (GRID,) * dimensions) == pytest.approx(cells(points, dimensions))


@given(points=points_of(3), more=st.tuples(*[coordinates] * 3))
def test_a_gain_is_the_difference_and_never_negative(points: list[tuple[float, ...]], more: tuple[float, ...]) -> None:
    reference = (GRID,) * 3
    assert gain(more, points, reference) == pytest.approx(cells([*points, more], 3) - cells(points, 3))


def dominated(point: Point, others: list[Point]) -> bool:
    def beats(first: Point) -> bool:
        if any(mine > other for mine, other in zip(first.values, point.values, strict=True)):
            return False
        high = [value + half for value, half in zip(first.values, first.halves, strict=True)]
        low = [value - half for value, half in zip(point.values, point.halves, strict=True)]
        return any(mine < other for mine, other in zip(high, low, strict=True))

    return any(map(beats, others))


@given(points=points_of(2), halves=st.lists(st.floats(0, 2), min_size=7, max_size=7))
def test_what_nothing_beats_is_on_the_front_and_what_is_off_it_is_beaten_beyond_noise(
    points: list[tuple[float, ...]], halves: list[float]
) -> None:
    measured = [Point(values, (half, half)) for values, half in zip(points, halves, strict=False)]
    flags = on_front(measured)
    for number, (point, flag) in enumerate(zip(measured, flags, strict=True)):
        others = [other for index, other in enumerate(measured) if index != number]
        plainly_beaten = any(
            other.values != point.values and all(a <= b for a, b in zip(other.values, point.values, strict=True))
            for other in others
        )
        if not plainly_beaten:
            assert flag
        assert flag == (not dominated(point, others))
        if not flag:
            assert plainly_beaten


def test_a_point_within_the_noise_of_a_better_one_stays() -> None:
    better, close, worse = (
        Point((0.10, 0.30), (0.01, 0.0)),
        Point((0.105, 0.30), (0.01, 0.0)),
        Point((0.2, 0.4), (0.0, 0.0)),
    )
    assert on_front([better, close, worse]) == (True, True, False)
    # What is counted has no noise.
    assert on_front([Point((0.1, 0.3), (0.0, 0.0)), Point((0.1, 0.31), (0.0, 0.0))]) == (True, False)
