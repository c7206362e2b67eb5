"""Factors take a layer's place: same function at full rank, old names kept, bad layers refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.fakes.removal import feeds, run
from workbench.domain.errors import UnsupportedGraphError
from workbench.engines.training_torch import TorchEngine
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.factorize import (
    FACTOR_NOTE,
    Factor,
    Factors,
    factorize,
    layer_weight,
    linear_bias,
    why_not_factorizable,
)
from workbench.graph.passes.shift_bias import takes_shift

Build = Callable[..., ModelGraph]


def head(opset: int = 17) -> str:
    return f'<ir_version: 9, opset_import: ["" : {opset}]>\n'


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def halves(weight: np.ndarray) -> tuple[Factor, ...]:
    """Split a matrix (in, out) exactly."""
    left, values, right = np.linalg.svd(weight, full_matrices=False)
    return Factor(left * values), Factor(right)


def assert_same(before: ModelGraph, after: ModelGraph) -> None:
    check(after)
    inputs = feeds(before, 0)
    expected, found = run(before, inputs), run(after, inputs)
    assert np.abs(expected[0] - found[0]).max() <= 1e-5 * np.abs(expected[0]).max()
    trained = TorchEngine(threads=1).run(after, inputs)
    assert np.allclose(trained[before.outputs[0].name], expected[0], atol=1e-4 * np.abs(expected[0]).max())


@pytest.mark.parametrize("attributes", ["", "<transB = 1>", "<transA = 1, alpha = 0.5, beta = 2.0>"])
@pytest.mark.parametrize("opset", [9, 17])
def test_gemm(graph_from: Build, attributes: str, opset: int) -> None:
    wide = "transB" in attributes
    side = "6,4" if "transA" in attributes else "4,6"
    graph = graph_from(
        f"{head(opset)} net (float[{side}] x) => (float[4,5] y) {{ [fc] y = Gemm {attributes} (x, w, b) }}",
        {"w": normal(5, 6) if wide else normal(6, 5), "b": normal(5)},
    )
    after = factorize(graph, {"fc": Factors(halves(layer_weight(graph, "fc")))})
    assert [(node.name, node.op, node.outputs) for node in after.nodes] == [
        ("fc~1", "Gemm", ("y~1",)),
        ("fc", "Gemm", ("y",)),
    ]
    assert all(node.metadata[FACTOR_NOTE] == "fc" for node in after.nodes)
    assert set(after.initializers) >= {"w~1", "w", "b"}
    assert_same(graph, after)


def test_matmul_and_its_bias(graph_from: Build) -> None:
    graph = graph_from(
        head() + "net (float[batch,3,6] x) => (float[batch,3,5] y) { [fc] h = MatMul (x, w) [add] y = Add (b, h) }",
        {"w": normal(6, 5), "b": normal(5)},
    )
    assert takes_shift(graph, "fc")
    shift = np.arange(5.0)
    after = factorize(graph, {"fc": Factors(halves(layer_weight(graph, "fc")), shift)})
    assert [node.name for node in after.nodes] == ["fc~1", "fc", "add"]
    assert after.node("fc").outputs == ("h",)
    assert after.value("h~1").shape == ("batch", 3, 5)
    assert np.allclose(after.constant("b"), graph.constant("b") + shift)
    assert_same(graph, factorize(graph, {"fc": Factors(halves(layer_weight(graph, "fc")))}))


def test_matmul_alone_takes_no_shift(graph_from: Build) -> None:
    graph = graph_from(head() + "net (float[2,6] x) => (float[2,5] y) { [fc] y = MatMul (x, w) }", {"w": normal(6, 5)})
    assert not takes_shift(graph, "fc")
    assert linear_bias(graph, "fc") == 0


@pytest.mark.parametrize(
    "attributes",
    [
        "<pads = [1,0,2,1], strides = [2,1], dilations = [1,2]>",
        '<auto_pad = "SAME_UPPER", strides = [2,2]>',
        '<auto_pad = "VALID">',
    ],
)
def test_convolution_along_its_axes(graph_from: Build, attributes: str) -> None:
    graph = graph_from(
        f"{head()} net (float[batch,4,9,8] x) => (float[batch,5,m,n] y) {{ [c] y = Conv {attributes} (x, w, b) }}",
        {"w": normal(5, 4, 3, 3), "b": normal(5)},
    )
    weight = layer_weight(graph, "c")
    left, values, right = np.linalg.svd(weight.transpose(1, 2, 0, 3).reshape(12, 15), full_matrices=False)
    down = Factor((left * values).T.reshape(12, 4, 3, 1), axes=(0,))
    along = Factor(right.reshape(12, 5, 3).transpose(1, 0, 2)[:, :, None], axes=(1,))
    assert_same(graph, factorize(graph, {"c": Factors((down, along))}))
    left, values, right = np.linalg.svd(weight.reshape(5, -1), full_matrices=False)
    whole = Factor((values[:, None] * right).reshape(5, 4, 3, 3), axes=(0, 1))
    after = factorize(graph, {"c": Factors((whole, Factor(left[:, :, None, None])))})
    assert after.node("c").attribute("kernel_shape") == (1, 1)
    assert_same(graph, after)
    eye = Factor(np.eye(4)[:, :, None, None])
    assert_same(graph, factorize(graph, {"c": Factors((eye, whole, Factor(left[:, :, None, None])))}))


def test_a_shift_becomes_a_bias(graph_from: Build) -> None:
    graph = graph_from(
        head() + "net (float[1,3,4,4] x) => (float[1,2,4,4] y) { [c] y = Conv (x, w) }", {"w": normal(2, 3, 1, 1)}
    )
    same = Factors((Factor(layer_weight(graph, "c")),), np.float64([1, -1]))
    inputs = feeds(graph, 0)
    difference = run(factorize(graph, {"c": same}), inputs)[0] - run(graph, inputs)[0]
    assert np.allclose(difference[0, :, 0, 0], [1, -1], atol=1e-6)


def test_what_can_not_be_factorised_is_named(graph_from: Build) -> None:
    graph = graph_from(
        head()
        + """net (float[1,4,4,4] x, float[4,4] d) => (float[1,4,4,4] y, float[1,4,4,4] z) {
            [depthwise] a = Conv <group = 4> (x, w1)
            [made] k = Relu (d)
            [left] b = MatMul (w2, a)
            [free] c = MatMul (b, k)
            [one] e = MatMul (c, w3)
            [two] y = MatMul (e, w3)
            [batched] z = MatMul (e, w4)
        }""",
        {"w1": normal(4, 1, 1, 1), "w2": normal(4, 4), "w3": normal(4, 4), "w4": normal(1, 4, 4)},
    )
    reasons = {node.name: why_not_factorizable(graph, node.name) for node in graph.nodes}
    assert reasons["depthwise"] == "it is a grouped convolution (4 groups), whose groups are small already"
    assert reasons["left"] == reasons["free"] == "its weight is not a stored constant on the right-hand side"
    assert reasons["one"] == "it shares its weight with 'two'"
    assert reasons["batched"] == "its weight has 3 dimensions instead of 2"
    assert reasons["made"] == "Relu layers are not factorised"
    with pytest.raises(UnsupportedGraphError, match="layer 'one': it can't be factorised: it shares its weight"):
        factorize(graph, {"one": Factors(halves(normal(4, 4)))})


def test_the_input_stays(graph_from: Build) -> None:
    graph = graph_from(head() + "net (float[2,6] x) => (float[2,5] y) { [fc] y = MatMul (x, w) }", {"w": normal(6, 5)})
    before = graph.to_bytes()
    first = factorize(graph, {"fc": Factors(halves(layer_weight(graph, "fc")))})
    assert graph.to_bytes() == before
    assert first.to_bytes() == factorize(graph, {"fc": Factors(halves(layer_weight(graph, "fc")))}).to_bytes()
