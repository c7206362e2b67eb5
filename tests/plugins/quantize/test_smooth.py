from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import DataError, RecipeError
from workbench.engines.inference_ort import open_session
from workbench.graph.passes.scale_inputs import InputScale, scale_inputs
from workbench.graph.storage import open_model

W8A8 = {"weight_bits": 8, "activation_bits": 8}


@pytest.fixture(scope="session")
def smooth(quantizers):
    return quantizers("quantize.smooth")


def outputs_of(graph, inputs):
    return open_session(graph, threads=1).run(inputs)


def assert_same(graph, other, inputs):
    for name, expected in outputs_of(graph, inputs).items():
        found = outputs_of(other, inputs)[name]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def sqnr_db(graph, quantized, inputs, name):
    exact = outputs_of(graph, inputs)[name].astype(np.float64)
    return float(10 * np.log10(np.square(exact).sum() / np.square(outputs_of(quantized, inputs)[name] - exact).sum()))


NORMALISATIONS = {
    "operator": "n = LayerNormalization (x, gamma, beta)",
    "without_shift": "n = LayerNormalization (x, gamma)",
    "written_out": """mu = ReduceMean <axes = [-1]> (x)  d = Sub (x, mu)  d2 = Mul (d, d)
        v = ReduceMean <axes = [-1]> (d2)
        ve = Add (v, eps)  sd = Sqrt (ve)  u = Div (d, sd)  g = Mul (u, gamma)  n = Add (g, beta)""",
    "root_mean_square": """d2 = Mul (x, x)  v = ReduceMean <axes = [-1]> (d2)  ve = Add (v, eps)  sd = Sqrt (ve)
        u = Div (x, sd)  n = Mul (u, gamma)""",
}


def attention(graph_from, normalisation, tail="y = Add (h, p)", outputs="float[batch,6,16] y"):
    """Normalisation with two channels of outliers, query, key and value, then two layers with a rectifier between."""
    rng = np.random.default_rng(0)
    gamma, beta = rng.uniform(0.5, 1.5, 16), rng.normal(size=16) * 0.1
    gamma[3], gamma[9], beta[9] = 60.0, 40.0, 25.0
    weights = {
        **{f"w{name}": rng.normal(size=(16, 16)) / 4 for name in "qkv"},
        "w1": rng.normal(size=(16, 24)) / 4,
        "b1": rng.normal(size=24) / 4,
        "w2": rng.normal(size=(24, 16)) / 4,
        "gamma": gamma,
        "beta": beta,
        "eps": np.array(1e-5),
    }
    text = f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,6,16] x) => ({outputs}) {{
            {NORMALISATIONS[normalisation]}
            q = MatMul (n, wq)  k = MatMul (n, wk)  v0 = MatMul (n, wv)
            kt = Transpose <perm = [0,2,1]> (k)  s = MatMul (q, kt)  a = Softmax (s)  h = MatMul (a, v0)
            m = MatMul (h, w1)  e = Add (m, b1)  r = Relu (e)  p = MatMul (r, w2)  {tail}
        }}"""
    used = {name: array.astype(np.float32) for name, array in weights.items() if name in text}
    return graph_from(text, used)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_outliers_move_into_the_weights_and_outputs_stay(smooth, quantize, graph_from, normalisation):
    graph = attention(graph_from, normalisation)
    result = smooth(graph, {}, insert=False)
    inputs = smooth.tools(graph).data.inputs
    assert [len(entry) for entry in result.details["values"]] == [
        4,
        2,
    ]  # three read the normalisation, one the rectifier
    assert result.details["inserted"] == []
    assert result.details["unevenness_after"] < result.details["unevenness_before"]
    assert len(result.graph.nodes) == len(graph.nodes)
    assert_same(graph, result.graph, inputs)
    before, after = (
        sqnr_db(graph, quantize(start, W8A8, tools=quantize.tools(start, inputs)).graph, inputs, "y")
        for start in (graph, result.graph)
    )
    assert after > before + 3


def test_a_value_that_others_read_too_gets_a_multiplication(smooth, quantize, graph_from):
    graph = attention(graph_from, "operator", tail="z = Add (h, p)  y = Add (z, n)")
    result = smooth(graph, {}, alpha=0.6)
    inputs = smooth.tools(graph).data.inputs
    assert "n" in result.details["inserted"]
    assert_same(graph, result.graph, inputs)
    (product,) = [node for node in result.graph.nodes if node.outputs[0] == "n_smoothed"]
    assert [node.op for node in result.graph.consumers(product.outputs[0])] == ["MatMul"] * 3
    before, after = (
        sqnr_db(graph, quantize(start, W8A8, tools=quantize.tools(start, inputs)).graph, inputs, "y")
        for start in (graph, result.graph)
    )
    assert after > before
    assert "n" not in smooth(graph, {}, insert=False).details["inserted"]


def test_strength_is_a_scale_from_weights_to_activations(smooth, graph_from):
    graph = attention(graph_from, "operator")
    spread = [smooth(graph, {}, alpha=alpha).details["unevenness_after"] for alpha in (0.5, 0.75, 1.0)]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] == pytest.approx(1.0, rel=1e-3)


def test_channels_that_are_never_active_stay(smooth, graph_from):
    graph = attention(graph_from, "operator")
    gamma, beta = (graph.constant(name).copy() for name in ("gamma", "beta"))
    gamma[0] = beta[0] = 0
    graph = graph.with_initializers({"gamma": gamma, "beta": beta})
    result = smooth(graph, {})
    np.testing.assert_array_equal(result.graph.constant("wq")[0], graph.constant("wq")[0])
    assert_same(graph, result.graph, smooth.tools(graph).data.inputs)


def test_refusals_are_clear(smooth, quantize, graph_from, small_cnn):
    graph = attention(graph_from, "operator")
    with pytest.raises(RecipeError, match="quantized already"):
        smooth.check(quantize(graph, W8A8).graph, {})
    with pytest.raises(DataError, match="recipe names no data"):
        smooth(graph, {}, tools=smooth.tools(graph, data=None))
    with pytest.raises(DataError, match="not finite"):
        smooth(graph, {}, tools=smooth.tools(graph, {"x": np.full((4, 6, 16), np.nan, np.float32)}))
    convolutions = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,2,4,4] x) => (float[n,2,4,4] y) { y = Conv (x, w) }""",
        {"w": np.ones((2, 2, 1, 1), np.float32)},
    )
    assert "No layers to smooth" in smooth.check(convolutions, {})[0]
    assert smooth(convolutions, {}).notes == ("nothing smoothed",)
    assert smooth.check(small_cnn, {}) == ()


def test_all_layers_includes_convolutions(smooth, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,6,6] x) => (float[n,4,6,6] y) { a = Conv (x, w1)  r = Relu (a)  y = Conv (r, w2) }""",
        {
            "w1": (rng.normal(size=(8, 3, 1, 1)) * 10 ** rng.uniform(-1, 1, (8, 1, 1, 1))).astype(np.float32),
            "w2": rng.normal(size=(4, 8, 1, 1)).astype(np.float32),
        },
    )
    assert smooth(graph, {}).graph is graph
    result = smooth(graph, {}, scope="all")
    assert result.details["unevenness_after"] < result.details["unevenness_before"]
    assert_same(graph, result.graph, smooth.tools(graph).data.inputs)


def test_scaled_inputs_need_a_reader(graph_from):
    graph = attention(graph_from, "operator")
    with pytest.raises(KeyError, match="'x'"):
        scale_inputs(graph, [InputScale("x", ("MatMul_1",), np.ones(16))])


def test_a_transformer_of_the_zoo_loses_less(smooth, quantize, shared):
    graph = open_model(shared / "data/zoo/bert_toy_optimized.onnx")
    rng = np.random.default_rng(0)
    inputs = {
        "input_ids": rng.integers(0, 99, size=(16, 12)),
        "token_type_ids": rng.integers(0, 2, size=(16, 12)),
        "input_mask": np.ones((16, 12), np.int64),
    }
    result = smooth(graph, {}, tools=smooth.tools(graph, inputs))
    assert_same(graph, result.graph, inputs)
    before, after = (
        sqnr_db(
            graph,
            quantize(start, W8A8, tools=quantize.tools(start, inputs), reduce_range=True).graph,
            inputs,
            "prediction_scores",
        )
        for start in (graph, result.graph)
    )
    assert after > before + 1
