from __future__ import annotations

import numpy as np
import psutil
import pytest

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, CancelledError
from workbench.engines.contracts import Batch
from workbench.engines.inference_ort import OrtEngine, open_session


class Collect:
    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def update(self, array: np.ndarray) -> None:
        self.arrays.append(array.copy())


class Count:
    def __init__(self) -> None:
        self.samples = 0

    def update(self, array: np.ndarray) -> None:
        self.samples += len(array)


def batches(count: int, size: int = 4, side: int = 8):
    rng = np.random.default_rng(2)
    for _ in range(count):
        yield Batch({"x": rng.normal(size=(size, 3, side, side)).astype(np.float32)}, None)


def test_inputs_inner_values_and_outputs_are_seen(small_cnn):
    seen = {name: Collect() for name in ("x", "r1", "a", "y")}
    told: list[float] = []
    OrtEngine(1).observe(
        small_cnn,
        {name: [collect] for name, collect in seen.items()},
        batches(3),
        total=12,
        progress=Progress(lambda done, text: told.append(done)),
    )
    x = np.concatenate([batch.inputs["x"] for batch in batches(3)])
    assert np.array_equal(np.concatenate(seen["x"].arrays), x)
    assert (np.concatenate(seen["r1"].arrays) >= 0).all()
    expected = open_session(small_cnn).run({"x": x})["y"]
    np.testing.assert_allclose(np.concatenate(seen["y"].arrays), expected, atol=1e-5)
    assert told == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_unknown_value_is_named(small_cnn):
    with pytest.raises(BadInputError, match="nowhere"):
        OrtEngine(1).observe(small_cnn, {"nowhere": [Collect()]}, batches(1))


def test_cancel_stops_between_batches(small_cnn):
    cancel = CancelToken()
    count = Count()

    def source():
        yield from batches(2)
        cancel.cancel()
        yield from batches(1)

    with pytest.raises(CancelledError):
        OrtEngine(1).observe(small_cnn, {"r1": [count]}, source(), cancel=cancel)
    assert count.samples == 8


def test_fixed_batch_counts_each_sample_once(graph_from):
    fixed = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[3,3,2,2] x) => (float[3,3,2,2] y) { z = Relu (x)  y = Neg (z) }"""
    )
    seen = {"x": Count(), "z": Count()}
    OrtEngine(1).observe(fixed, {name: [count] for name, count in seen.items()}, batches(2, size=4, side=2))
    assert (seen["x"].samples, seen["z"].samples) == (8, 8)


def test_memory_does_not_grow_with_the_samples(graph_from):
    wide = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,64,64] x) => (float[batch,3,64,64] y) { z = Relu (x)  y = Neg (z) }"""
    )
    process = psutil.Process()
    resident: list[int] = []

    class Watch(Count):
        def update(self, array: np.ndarray) -> None:
            super().update(array)
            resident.append(process.memory_info().rss)

    # Each batch holds 6 MB a value: keeping them would add 300 MB between the two readings.
    OrtEngine(1).observe(wide, {"z": [Watch()], "y": [Count()]}, batches(60, size=128, side=64))
    assert max(resident[30:]) - max(resident[:10]) < 20_000_000
