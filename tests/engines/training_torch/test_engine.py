"""Running a graph in torch: any value by name, statistics taken anew, weights joined by name."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, DataError
from workbench.engines.contracts import Batch
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.from_graph import GraphModule, roles
from workbench.engines.training_torch.schedule import CosineSchedule

HEAD = '<ir_version: 9, opset_import: ["" : 17]>\n'
ENGINE = TorchEngine(threads=1)
X = np.random.default_rng(3).standard_normal((6, 3, 8, 8)).astype(np.float32)


def test_outputs_and_inner_values_are_those_of_the_runtime(small_cnn):
    names = ["r1", "a", "y"]
    results = ENGINE.run(small_cnn, {"x": X}, names)
    expected = OrtEngine(threads=1).open(small_cnn.with_outputs(names)).run({"x": X})
    assert list(results) == names
    for name in names:
        np.testing.assert_allclose(results[name], expected[name], atol=1e-5)
    assert list(ENGINE.run(small_cnn, {"x": X})) == ["y"]


def test_unknown_values_and_inputs_are_named(small_cnn):
    with pytest.raises(DataError, match="no value 'nowhere'"):
        ENGINE.run(small_cnn, {"x": X}, ["nowhere"])
    with pytest.raises(DataError, match="lacks the model input 'x'"):
        ENGINE.run(small_cnn, {"image": X})


def test_weights_are_parameters_under_their_names(small_cnn):
    module = GraphModule(small_cnn)
    assert set(module.weights) == {"w1", "b1", "w2", "b2", "w3", "b3"}
    assert dict(module.named_parameters()).keys() == module.weights.keys()
    module(module.feed({"x": X}))["y"].sum().backward()
    assert all(weight.grad is not None for weight in module.weights.values())
    with torch.no_grad():
        module.weights["b3"].add_(1.0)
    changed = module.written_back()
    np.testing.assert_allclose(changed.constant("b3"), small_cnn.constant("b3") + 1)
    np.testing.assert_array_equal(changed.constant("w1"), small_cnn.constant("w1"))


def test_settings_of_the_formula_are_no_weights(graph_from):
    graph = graph_from(
        HEAD
        + """net (float[n,4] x) => (float[n,4] y) {
            a = Mul (x, gain)
            b = Add (a, epsilon)
            c = Clip (b, low, high)
            q = QuantizeLinear (c, step, zero)
            y = DequantizeLinear (q, step, zero)
        }""",
        {
            "gain": np.ones(4, np.float32),
            "epsilon": np.array(1e-5, np.float32),
            "low": np.array(0, np.float32),
            "high": np.array(6, np.float32),
            "step": np.array(0.1, np.float32),
            "zero": np.array(0, np.uint8),
        },
    )
    assert roles(graph) == (frozenset({"gain"}), frozenset())


def test_statistics_are_taken_anew(graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        HEAD
        + """net (float[n,3,8,8] x) => (float[n,4,8,8] y) {
            c = Conv <pads = [1,1,1,1]> (x, w)
            y = BatchNormalization (c, scale, shift, mean, variance)
        }""",
        {
            "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
            "scale": np.ones(4, np.float32),
            "shift": np.zeros(4, np.float32),
            "mean": np.full(4, 9, np.float32),
            "variance": np.full(4, 7, np.float32),
        },
    )
    batches = [Batch({"x": X[:4] + 1}, None), Batch({"x": X[4:] * 2}, None)]
    told: list[float] = []
    from workbench.domain.cancel import Progress

    fresh = ENGINE.reestimate_batch_norm(
        graph, batches, total=6, progress=Progress(lambda fraction, text: told.append(fraction))
    )
    values = np.concatenate([ENGINE.run(graph, batch.inputs, ["c"])["c"] for batch in batches])
    np.testing.assert_allclose(fresh.constant("mean"), values.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fresh.constant("variance"), values.var((0, 2, 3)), rtol=1e-4)
    np.testing.assert_array_equal(fresh.constant("w"), graph.constant("w"))
    np.testing.assert_array_equal(graph.constant("mean"), np.full(4, 9, np.float32))
    assert told[-1] == 1.0


def test_statistics_need_samples_and_can_be_cancelled(graph_from, small_cnn):
    assert ENGINE.reestimate_batch_norm(small_cnn, []) is small_cnn
    ones = {name: np.ones(3, np.float32) for name in ("scale", "shift", "mean", "variance")}
    graph = graph_from(
        HEAD + "net (float[n,3,8,8] x) => (float[n,3,8,8] y) "
        "{ y = BatchNormalization (x, scale, shift, mean, variance) }",
        ones,
    )
    with pytest.raises(DataError, match="without samples"):
        ENGINE.reestimate_batch_norm(graph, [])
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        ENGINE.reestimate_batch_norm(graph, [Batch({"x": X}, None)], cancel=token)


def test_the_learning_rate_rises_then_falls():
    schedule = CosineSchedule.of(0.1, epochs=2, warmup_epochs=0.5, steps_per_epoch=10)
    rates = [schedule.rate(step) for step in range(20)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(0.1)
    assert rates[4] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[5:]))
    assert 0 < rates[-1] < 0.002
    assert CosineSchedule.of(0.1, 1, 100.0, 1).rate(0) == pytest.approx(0.1)
