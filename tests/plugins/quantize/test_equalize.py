from __future__ import annotations

import re

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, RecipeError
from workbench.engines.inference_ort import open_session
from workbench.graph.storage import open_model

W4A8 = {"weight_bits": 4, "activation_bits": 8}


@pytest.fixture(scope="session")
def equalize(quantizers):
    return quantizers("quantize.equalize")


def spread(rng, shape, axis):
    """Return weights whose channels along an axis have ranges that differ by up to a hundred."""
    size = [1] * len(shape)
    size[axis] = shape[axis]
    return (rng.normal(size=shape) * 10 ** rng.uniform(-1, 1, size=size)).astype(np.float32)


def outputs_of(graph, inputs):
    return open_session(graph, threads=1).run(inputs)


def assert_same(graph, other, inputs):
    for name, expected in outputs_of(graph, inputs).items():
        np.testing.assert_allclose(
            outputs_of(other, inputs)[name], expected, rtol=1e-5, atol=1e-5 * max(np.abs(expected).max(), 1e-9)
        )


CHAINS = {
    "relu": "h = Relu (a)",
    "leaky": "h = LeakyRelu <alpha = 0.1> (a)",
    "slope": "h = PRelu (a, slope)",
    "identity": "h = Identity (a)",
    "max_pool": "r = Relu (a)  h = MaxPool <kernel_shape = [2,2]> (r)",
    "average_pool": "r = Relu (a)  h = AveragePool <kernel_shape = [2,2]> (r)",
    "pad": "r = Relu (a)  h = Pad (r, pads)",
    "edge_pad": 'h = Pad <mode = "edge"> (a, pads)',
    "resize": 'h = Resize <mode = "nearest"> (a, , scales)',
    "turned": "t = Transpose <perm = [0,2,3,1]> (a)  r = Relu (t)  h = Transpose <perm = [0,3,1,2]> (r)",
    "nothing": "h = Identity (a)",
}


def block(graph_from, chain, second="c = Conv (h, w2, b2)", first="a = Conv <pads = [1,1,1,1]> (x, w1, b1)", **weights):
    rng = np.random.default_rng(0)
    given = {
        "w1": spread(rng, (8, 3, 3, 3), 0),
        "b1": rng.normal(size=8).astype(np.float32),
        "w2": spread(rng, (6, 8, 1, 1), 1),
        "b2": rng.normal(size=6).astype(np.float32),
        "slope": rng.uniform(0.1, 0.5, size=(8, 1, 1)).astype(np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    given.update(weights)
    text = f"net (float[batch,3,8,8] x) => (float c) {{ {first}  {chain}  {second} }}"
    used = {name: array for name, array in given.items() if re.search(rf"\b{name}\b", text)}
    return graph_from(f'<ir_version: 9, opset_import: ["" : 17]> {text}', used)


@pytest.mark.parametrize("chain", CHAINS)
def test_outputs_stay_and_ranges_meet(equalize, graph_from, chain):
    graph = block(graph_from, CHAINS[chain])
    result = equalize(graph, {})
    assert result.details["pairs"] == [["Conv_0", next(n.name for n in graph.nodes if n.outputs[0] == "c")]]
    assert_same(graph, result.graph, equalize.tools(graph).data.inputs)
    made = np.abs(result.graph.constant("w1")).max(axis=(1, 2, 3))
    read = np.abs(result.graph.constant("w2")).max(axis=(0, 2, 3))
    np.testing.assert_allclose(made, read, rtol=0.01)
    assert not np.array_equal(graph.constant("w1"), result.graph.constant("w1"))


def test_depthwise_chains_converge(equalize, graph_from):
    rng = np.random.default_rng(1)
    graph = block(
        graph_from,
        "r1 = Relu (a)  d = Conv <group = 8, pads = [1,1,1,1]> (r1, wd, bd)  h = Relu (d)",
        wd=spread(rng, (8, 1, 3, 3), 0),
        bd=rng.normal(size=8).astype(np.float32),
    )
    result = equalize(graph, {})
    assert len(result.details["pairs"]) == 2
    assert 2 < result.details["rounds"] < 20
    assert_same(graph, result.graph, equalize.tools(graph).data.inputs)
    ranges = [np.abs(result.graph.constant(n)).max(axis=ax) for n, ax in (("w1", (1, 2, 3)), ("wd", (1, 2, 3)))]
    ranges.append(np.abs(result.graph.constant("w2")).max(axis=(0, 2, 3)))
    np.testing.assert_allclose(ranges[0], ranges[1], rtol=0.02)
    np.testing.assert_allclose(ranges[1], ranges[2], rtol=0.02)


def test_grouped_transposed_and_flat_layers(equalize, graph_from):
    rng = np.random.default_rng(2)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,4,4,4] x) => (float y) {
            a = Conv <group = 2> (x, w1, b1)  r1 = Relu (a)
            t = ConvTranspose <group = 2, strides = [2,2]> (r1, w2, b2)  r2 = Relu (t)
            g = Conv <group = 2> (r2, w3)  p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (g)
            f = Flatten (p)
            k = Gemm <transB = 1> (f, w4, b4)  r4 = Relu (k)
            m = MatMul (r4, w5)  n = Add (m, b5)  r5 = Relu (n)
            y = Gemm <alpha = 0.5, beta = 2.0> (r5, w6, b6)
        }""",
        {
            "w1": spread(rng, (8, 2, 1, 1), 0),
            "b1": rng.normal(size=8).astype(np.float32),
            "w2": spread(rng, (8, 3, 2, 2), 0),
            "b2": rng.normal(size=6).astype(np.float32),
            "w3": spread(rng, (10, 3, 1, 1), 0),
            "w4": spread(rng, (7, 160), 0),
            "b4": rng.normal(size=7).astype(np.float32),
            "w5": spread(rng, (7, 9), 0),
            "b5": rng.normal(size=9).astype(np.float32),
            "w6": spread(rng, (9, 5), 0),
            "b6": rng.normal(size=5).astype(np.float32),
        },
    )
    result = equalize(graph, {})
    assert [len(pair) for pair in result.details["pairs"]] == [2] * 5
    assert result.details["range_ratio_after"] < result.details["range_ratio_before"]
    assert_same(graph, result.graph, equalize.tools(graph).data.inputs)


def test_one_value_that_several_layers_read(equalize, graph_from):
    rng = np.random.default_rng(3)
    graph = block(
        graph_from,
        "h = Relu (a)  d = Conv (h, w3)  e = Conv (h, w2, b2)",
        "c = Add (d, e)",
        w3=spread(rng, (6, 8, 1, 1), 1),
    )
    result = equalize(graph, {})
    assert len(result.details["pairs"][0]) == 3
    assert_same(graph, result.graph, equalize.tools(graph).data.inputs)


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ("h = Clip (a, zero, six)", "ReLU6"),
        ("h = Sigmoid (a)", "Sigmoid .* does not pass factors on"),
        ("r = Relu (a)  h = Add (r, a)", "mixes it|does not pass"),
        ("h = Pad (a, pads, one)", "Pad .* does not pass"),
        ("h = Softmax <axis = 1> (a)", "Softmax"),
    ],
)
def test_what_is_not_homogeneous_is_left_and_named(equalize, graph_from, chain, reason):
    extra = {"zero": np.float32(0), "six": np.float32(6), "one": np.float32(1)}
    graph = block(graph_from, chain, **{name: np.array(array) for name, array in extra.items()})
    (warning,) = equalize.check(graph, {})
    assert re.search(reason, warning)
    result = equalize(graph, {})
    assert result.graph is graph
    assert "nothing equalized" in result.notes[0]


def test_dead_channels_and_outputs_are_left(equalize, graph_from):
    graph = block(graph_from, "h = Relu (a)")
    w1, w2 = graph.constant("w1").copy(), graph.constant("w2").copy()
    w1[0], w2[:, 1] = 0, 0
    graph = graph.with_initializers({"w1": w1, "w2": w2})
    result = equalize(graph, {})
    assert_same(graph, result.graph, equalize.tools(graph).data.inputs)
    assert np.isfinite(result.graph.constant("b1")).all()
    np.testing.assert_array_equal(result.graph.constant("w2")[:, 0], w2[:, 0])
    seen = graph.with_outputs(["h", "c"])
    assert "is an output of the model" in equalize.check(seen, {})[0]


def test_batch_norm_is_folded_and_quantized_models_are_refused(equalize, quantize, small_cnn):
    with pytest.raises(RecipeError, match="quantized already"):
        equalize.check(quantize(small_cnn, W4A8).graph, {})
    assert equalize.check(small_cnn, {})[0].startswith("No layers to equalize (Conv_0: ")
    cancel = CancelToken()
    cancel.cancel()
    assert equalize(small_cnn, {}, tools=equalize.tools(small_cnn, cancel=cancel)).graph is small_cnn


def test_cancel_and_the_same_twice(equalize, graph_from):
    graph = block(graph_from, "h = Relu (a)")
    before = graph.to_bytes()
    assert equalize(graph, {}).graph.to_bytes() == equalize(graph, {}).graph.to_bytes()
    assert graph.to_bytes() == before
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        equalize(graph, {}, tools=equalize.tools(graph, cancel=cancel))


def test_4_bit_weights_cost_less_where_ranges_did_not_match(equalize, quantize, graph_from):
    rng = np.random.default_rng(0)
    factor = (10 ** rng.uniform(-1, 1, size=8)).astype(np.float32)
    w1, w2 = (rng.normal(size=shape).astype(np.float32) for shape in ((8, 3, 3, 3), (6, 8, 1, 1)))
    graph = block(
        graph_from,
        "h = Relu (a)",
        w1=w1 * factor.reshape(-1, 1, 1, 1),
        b1=rng.normal(size=8).astype(np.float32) * factor,
        w2=w2 / factor.reshape(-1, 1, 1),
    )
    tools = quantize.tools(graph)
    exact = outputs_of(graph, tools.data.inputs)["c"]

    def error(start):
        found = quantize(start, W4A8, tools=quantize.tools(start, tools.data.inputs), weight_range="minmax").graph
        return np.square(outputs_of(found, tools.data.inputs)["c"] - exact).mean()

    assert error(equalize(graph, {}).graph) < 0.5 * error(graph)


def test_resnet20_stays_the_same_function(equalize, shared):
    graph = open_model(shared / "data/models/resnet20_cifar10_bn.onnx")
    result = equalize(graph, {})
    assert len(result.details["pairs"]) == 9
    inputs = {graph.inputs[0].name: np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)}
    assert_same(graph, result.graph, inputs)
