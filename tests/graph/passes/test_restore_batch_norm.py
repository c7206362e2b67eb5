"""Normalisation given back leaves the function as it was and fits what measured it."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import OrtEngine
from workbench.graph.check import check
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.restore_batch_norm import EPSILON, normalisable, restore_batch_norm

HEAD = '<ir_version: 9, opset_import: ["" : 17]>\n'
X = np.random.default_rng(3).standard_normal((16, 3, 8, 8)).astype(np.float32)
ENGINE = OrtEngine(threads=1)


def moments(graph, x=X):
    names = normalisable(graph)
    values = ENGINE.open(graph.with_outputs(names)).run({"x": x})
    return {name: (array.mean((0, 2, 3)), array.var((0, 2, 3))) for name, array in values.items()}


def test_the_function_is_unchanged(small_cnn):
    restored = restore_batch_norm(small_cnn, moments(small_cnn))
    check(restored)
    before, after = (ENGINE.open(graph).run({"x": X})["y"] for graph in (small_cnn, restored))
    np.testing.assert_allclose(after, before, atol=1e-4)
    folded = ENGINE.open(fold_batch_norm(restored)).run({"x": X})["y"]
    np.testing.assert_allclose(folded, before, atol=1e-4)
    assert [node.op for node in fold_batch_norm(restored).nodes] == [node.op for node in small_cnn.nodes]


def test_names_statistics_and_filters(small_cnn):
    found = moments(small_cnn)
    restored = restore_batch_norm(small_cnn, found)
    conv = next(node for node in small_cnn.nodes if node.outputs == ("c1",))
    norm = restored.node(f"{conv.name}_bn")
    assert norm.op == "BatchNormalization"
    assert norm.outputs == ("c1",)
    assert restored.node(conv.name).outputs == ("c1_before_bn",)
    assert restored.node(conv.name).inputs == ("x", "w1")
    assert "b1" not in restored.initializers
    weight = restored.constant("w1")
    norms = np.sqrt((weight.reshape(8, -1) ** 2).sum(1))
    np.testing.assert_allclose(norms, np.sqrt(2 * 3 / 8), rtol=1e-5)
    mean, variance = found["c1"]
    scale, shift, kept_mean, kept_variance = (restored.constant(name) for name in norm.inputs[1:])
    np.testing.assert_allclose(shift, mean, rtol=1e-5)
    np.testing.assert_allclose(scale, np.sqrt(variance), rtol=1e-3)
    values = ENGINE.open(restored.with_outputs(["c1_before_bn"])).run({"x": X})["c1_before_bn"]
    np.testing.assert_allclose(kept_mean, values.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(kept_variance, values.var((0, 2, 3)), rtol=1e-3)
    assert norm.attribute("epsilon") == pytest.approx(EPSILON)


def test_the_original_is_untouched(small_cnn):
    before = small_cnn.to_bytes()
    restore_batch_norm(small_cnn, moments(small_cnn))
    assert small_cnn.to_bytes() == before


def test_dead_filters_and_groups(graph_from):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 1, 3, 3)).astype(np.float32)
    weight[2] = 0
    graph = graph_from(
        HEAD
        + """net (float[n,3,8,8] x) => (float[n,6,8,8] y) {
            c = Conv <group = 3, pads = [1,1,1,1]> (x, w, b)
            y = Relu (c)
        }""",
        {"w": weight, "b": rng.standard_normal(6).astype(np.float32)},
    )
    restored = restore_batch_norm(graph, moments(graph))
    before, after = (ENGINE.open(each).run({"x": X})["y"] for each in (graph, restored))
    np.testing.assert_allclose(after, before, atol=1e-4)
    norms = np.sqrt((restored.constant("w").reshape(6, -1) ** 2).sum(1))
    np.testing.assert_allclose(norms[[0, 1, 3, 4, 5]], 1.0, rtol=1e-5)


def test_only_convolutions_that_lack_it(graph_from):
    weights = {
        "w": np.ones((3, 3, 1, 1), np.float32),
        "v": np.ones((3, 3, 1, 1), np.float32),
        "shared": np.ones((3, 3, 1, 1), np.float32),
        "gate": np.ones((3, 3, 1, 1), np.float32),
        "half": np.ones((3, 3, 1, 1), np.float32),
        **{name: np.ones(3, np.float32) for name in ("scale", "shift", "mean", "variance")},
    }
    graph = graph_from(
        HEAD
        + """net (float[n,3,8,8] x) => (float[n,3,8,8] y) {
            lacks = Conv (x, w)
            a = Relu (lacks)
            has = Conv (a, v)
            b = BatchNormalization (has, scale, shift, mean, variance)
            twice1 = Conv (b, shared)
            r1 = Relu (twice1)
            twice2 = Conv (r1, shared)
            r2 = Relu (twice2)
            pooled = GlobalAveragePool (r2)
            gated = Conv (pooled, gate)
            s = Sigmoid (gated)
            m = Mul (r2, s)
            y = Conv (m, half)
        }""",
        weights,
    )
    assert normalisable(graph) == ("lacks",)


@pytest.mark.parametrize("stem", ["resnet20_cifar10_folded", "resnet20_cifar10_bnclean"])
def test_shared_networks(shared, stem):
    from workbench.graph.storage import open_model

    graph = open_model(shared / "data" / "models" / f"{stem}.onnx")
    if "bn" in stem:
        assert normalisable(graph) == ()
        return
    name = graph.inputs[0].name
    x = np.random.default_rng(0).standard_normal((8, 3, 32, 32)).astype(np.float32)
    assert len(normalisable(graph)) == 19
    values = ENGINE.open(graph.with_outputs(normalisable(graph))).run({name: x})
    found = {key: (array.mean((0, 2, 3)), array.var((0, 2, 3))) for key, array in values.items()}
    restored = restore_batch_norm(graph, found)
    output = graph.outputs[0].name
    before, after = (ENGINE.open(each).run({name: x})[output] for each in (graph, restored))
    assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()
