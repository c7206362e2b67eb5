"""Slopes: the derivative of the loss by a factor on a channel, streamed sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, DataError
from workbench.engines.contracts import Batch, ChannelAxis
from workbench.engines.training_torch import TorchEngine
from workbench.graph.model import ModelGraph


class Kept:
    """Keeps every batch's slopes."""

    def __init__(self) -> None:
        self.slopes: list[Mapping[ChannelAxis, np.ndarray]] = []

    def update(self, slopes: Mapping[ChannelAxis, np.ndarray]) -> None:
        self.slopes.append(slopes)


def batches(samples: int, size: int, *, labels: bool = True) -> Iterator[Batch]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(samples, 3, 8, 8)).astype(np.float32)
    targets = rng.integers(0, 5, samples)
    for start in range(0, samples, size):
        yield Batch({"x": images[start : start + size]}, targets[start : start + size] if labels else None)


def losses(engine: TorchEngine, graph: ModelGraph, batch: Batch) -> np.ndarray:
    logits = engine.run(graph, batch.inputs)["y"].astype(np.float64)
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    return -logits[np.arange(len(logits)), batch.targets]


def observed(graph: ModelGraph, axes: list[ChannelAxis], samples: int = 6, size: int = 6, **rest: object) -> Kept:
    kept = Kept()
    TorchEngine(threads=1).observe_slopes(graph, axes, kept, batches(samples, size), task="classification", **rest)  # type: ignore[arg-type]
    return kept


def test_a_slope_is_the_derivative_by_a_factor_on_the_channel(small_cnn: ModelGraph) -> None:
    engine, step = TorchEngine(threads=1), 1e-2
    pooled, weight = ChannelAxis("f", -1), ChannelAxis("w3", 1)
    found = observed(small_cnn, [pooled, weight]).slopes[0]
    batch = next(batches(6, 6))
    columns = small_cnn.constant("w3")
    expected = np.empty((6, 8))
    for channel in range(8):
        sides = []
        for factor in (1 + step, 1 - step):
            scaled = columns.copy()
            scaled[:, channel] *= factor
            sides.append(losses(engine, small_cnn.with_initializers({"w3": scaled}), batch))
        expected[:, channel] = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(found[pooled], expected, atol=2e-4)
    np.testing.assert_allclose(found[weight], expected.sum(0, keepdims=True), atol=1e-3)


def test_batches_do_not_change_the_slopes(small_cnn: ModelGraph) -> None:
    axis = ChannelAxis("r1", 1)
    whole = observed(small_cnn, [axis]).slopes[0][axis]
    parts = np.concatenate([slopes[axis] for slopes in observed(small_cnn, [axis], size=4).slopes])
    assert whole.shape == (6, 8)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)


def test_drawn_labels_give_the_gauss_newton_diagonal(small_cnn: ModelGraph) -> None:
    axis = ChannelAxis("f", -1)
    drawn = observed(small_cnn, [axis], samples=20000, size=2000, labels="model", seed=1)
    found = np.mean(np.concatenate([slopes[axis] for slopes in drawn.slopes]) ** 2, axis=0)
    exact = np.zeros(8)
    engine, weight = TorchEngine(threads=1), small_cnn.constant("w3").astype(np.float64)
    for batch in batches(20000, 2000):
        values = engine.run(small_cnn, batch.inputs, ["f", "y"])
        share = np.exp(values["y"].astype(np.float64))
        share /= share.sum(1, keepdims=True)
        changes = values["f"][:, None, :] * weight[None]
        mean = np.einsum("nk,nkc->nc", share, changes)
        exact += (np.einsum("nk,nkc->nc", share, changes**2) - mean**2).sum(0)
    np.testing.assert_allclose(found, exact / 20000, rtol=0.2)
    again = observed(small_cnn, [axis], samples=20000, size=2000, labels="model", seed=1)
    assert np.array_equal(again.slopes[-1][axis], drawn.slopes[-1][axis])


def test_faults_are_named(small_cnn: ModelGraph) -> None:
    axis, engine = ChannelAxis("r1", 1), TorchEngine(threads=1)
    with pytest.raises(DataError, match="no value 'nowhere'"):
        observed(small_cnn, [ChannelAxis("nowhere", 1)])
    with pytest.raises(DataError, match="nothing to train towards"):
        engine.observe_slopes(small_cnn, [axis], Kept(), batches(6, 6, labels=False), task="classification")
    with pytest.raises(DataError, match="there are no samples"):
        engine.observe_slopes(small_cnn, [axis], Kept(), [], task="classification")


def test_progress_moves_and_cancel_stops(small_cnn: ModelGraph) -> None:
    seen: list[float] = []
    progress = Progress(lambda share, text: seen.append(share))
    observed(small_cnn, [ChannelAxis("r1", 1)], size=2, progress=progress, total=6)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1.0])
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        observed(small_cnn, [ChannelAxis("r1", 1)], cancel=token)
