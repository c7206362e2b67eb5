"""Blends of two samples: drawn by chance from torch's generator, and answered by both samples' labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.engines.contracts import Batch, TrainingSettings
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.blend import Blend


def test_a_blend_lies_between_a_sample_and_its_partner():
    torch.manual_seed(0)
    inputs = {"x": torch.randn(8, 3, 4, 4).to(memory_format=torch.channels_last), "y": torch.randn(8, 2)}
    blend = Blend.drawn(inputs, 1.0)
    assert blend is not None
    assert sorted(blend.partners.tolist()) == list(range(8))
    mixed = blend.of(inputs)
    for name, tensor in inputs.items():
        wanted = blend.share * tensor + (1 - blend.share) * tensor[blend.partners]
        torch.testing.assert_close(mixed[name], wanted)
    assert mixed["x"].is_contiguous(memory_format=torch.channels_last)


def test_chance_decides_and_the_seed_decides_chance():
    inputs = {"x": torch.zeros(4, 2)}

    def drawn() -> list[float | None]:
        torch.manual_seed(1)
        return [None if (blend := Blend.drawn(inputs, 0.5)) is None else blend.share for _ in range(200)]

    first = drawn()
    assert first == drawn()
    assert 70 < sum(share is not None for share in first) < 130
    assert Blend.drawn(inputs, 0.0) is None


def test_whole_numbers_are_not_blended():
    assert Blend.drawn({"ids": torch.zeros(4, 2, dtype=torch.int64)}, 1.0) is None
    assert Blend.drawn({"x": torch.zeros(4, 2), "mask": torch.ones(4, dtype=torch.int64)}, 1.0) is None


class _Data:
    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self._x, self._y = x, y

    def __len__(self) -> int:
        return len(self._x)

    def shuffled(self, batch_size: int, seed: int):
        order = np.random.default_rng(seed).permutation(len(self._x))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield Batch({"x": self._x[chosen]}, self._y[chosen])


@pytest.mark.parametrize("teacher", [False, True])
def test_training_on_blends_learns_and_repeats(graph_from, teacher):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5)).astype(np.float32)
    y = rng.integers(0, 3, 192)
    x = (centres[y] + 0.2 * rng.normal(size=(192, 5))).astype(np.float32)

    def network(weight: np.ndarray, bias: np.ndarray):
        return graph_from(
            """<ir_version: 9, opset_import: ["" : 17]>
            net (float[n,5] x) => (float[n,3] z) { z = Gemm (x, w, b) }""",
            {"w": weight.astype(np.float32), "b": bias.astype(np.float32)},
        )

    start = network(rng.normal(0, 0.1, (5, 3)), np.zeros(3))
    original = network(4 * centres.T, -2 * (centres**2).sum(1)) if teacher else None
    settings = TrainingSettings(
        epochs=6, batch_size=32, learning_rate=0.2, threads=1, precision="float32", mixing=1.0, weight_decay=0.0
    )

    def trained() -> tuple[np.ndarray, np.ndarray]:
        result = TorchEngine(threads=1).fit(start, _Data(x, y), settings, teacher=original)
        return result.graph.constant("w"), result.graph.constant("b")

    weight, bias = trained()
    assert np.array_equal(weight, trained()[0])
    assert ((x @ weight + bias).argmax(1) == y).mean() > 0.95
