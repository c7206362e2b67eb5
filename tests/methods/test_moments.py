"""Moments are those of all rows together, however batches cut them, and say when there is nothing to trust."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.fakes.method_tools import tools
from workbench.api import (
    Batch,
    ChannelRows,
    DataError,
    MeanSquares,
    ModelGraph,
    RowMoments,
    RowObserver,
    needed_data,
    observe_samples,
    parts_within,
)

ROWS = np.random.default_rng(0).normal(2, 1, (2, 50, 6)) @ np.random.default_rng(1).normal(size=(6, 6))


class Samples:
    task, metric = "outputs", "mse"

    def __init__(self, x: np.ndarray) -> None:
        self._x = x

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        for start in range(0, min(samples, len(self._x)), batch_size):
            yield Batch({"x": self._x[start : min(start + batch_size, samples)]}, None)


def test_moments_do_not_depend_on_batches() -> None:
    moments = RowMoments(2, 6)
    for start in range(0, 50, 7):
        moments.add(ROWS[:, start : start + 7])
    assert moments.finite
    for group in (0, 1):
        np.testing.assert_allclose(moments.mean()[group], ROWS[group].mean(axis=0))
        np.testing.assert_allclose(moments.second()[group], ROWS[group].T @ ROWS[group] / 50)
        np.testing.assert_allclose(moments.covariance()[group], np.cov(ROWS[group].T, bias=True), atol=1e-9)
    np.testing.assert_allclose(moments.about(moments.mean()), moments.covariance(), atol=1e-9)
    np.testing.assert_allclose(moments.about(np.zeros((2, 6))), moments.second())


@pytest.mark.parametrize("rows", [np.zeros((2, 0, 6)), np.full((2, 3, 6), np.nan)])
def test_nothing_and_no_numbers_are_not_finite(rows: np.ndarray) -> None:
    moments = RowMoments(2, 6)
    moments.add(rows)
    assert not moments.finite
    assert not MeanSquares(2, 6).finite


def test_observers_share_a_pass_and_a_value(graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,6] x) => (float[batch,6] y) {
            r = Relu (x)
            y = Tanh (r)
        }"""
    )
    x = ROWS[0].astype(np.float32)
    shared, other = RowMoments(6), RowMoments(6)
    watched = [
        ("x", RowObserver(ChannelRows(-1), shared)),
        ("r", RowObserver(ChannelRows(-1), shared)),
        ("r", RowObserver(ChannelRows(-1), other)),
    ]
    run = tools(graph, Samples(x))
    observe_samples(graph, watched, needed_data(run, "this"), run, 32, batch_size=5)
    expected = np.maximum(x[:32], 0)
    np.testing.assert_allclose(other.mean(), expected.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(shared.mean(), (x[:32].mean(axis=0) + expected.mean(axis=0)) / 2, atol=1e-6)


def test_missing_data_is_said_with_the_way_out(small_cnn: ModelGraph) -> None:
    with pytest.raises(DataError, match=r"prune\.this needs samples, and the recipe names no data") as caught:
        needed_data(tools(small_cnn, None), "prune.this", "use prune.that")
    assert caught.value.action == "Add `data:` to the recipe, or use prune.that."


def test_parts_stay_within_the_room_where_they_can() -> None:
    assert parts_within([4, 3, 3, 20, 1, 2], lambda size: size, 7) == [[4, 3], [3], [20], [1, 2]]
    assert parts_within([], len, 7) == []
