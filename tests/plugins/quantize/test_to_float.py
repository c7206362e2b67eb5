from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import RecipeError, UnsupportedGraphError
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort import OrtEngine, open_session
from workbench.methods.pipeline import run_recipe
from workbench.methods.registry import MethodRegistry

W8A8 = {"weight_bits": 8, "activation_bits": 8}


@pytest.fixture(scope="session")
def to_float(quantizers):
    return quantizers("quantize.to_float")


def test_a_quantized_model_can_be_quantized_anew(quantize, to_float, small_cnn):
    quantized = quantize(small_cnn, W8A8).graph
    assert to_float.check(quantized, {}) == ()
    result = to_float(quantized, {})
    assert "quantizers and dequantizers taken out" in result.notes[0]
    inputs = quantize.tools(small_cnn).data.inputs
    again = quantize(result.graph, {"weight_bits": 4, "activation_bits": 8}, tools=quantize.tools(small_cnn, inputs))
    exact, rounded, plain, narrow = (
        open_session(graph).run(inputs)["y"] for graph in (small_cnn, quantized, result.graph, again.graph)
    )
    assert np.square(plain - exact).sum() < np.square(rounded - exact).sum()
    assert np.square(narrow - exact).mean() < 0.05 * exact.var()


def test_later_steps_of_a_recipe_are_checked_against_the_float_graph(quantizers, quantize, to_float, small_cnn):
    quantized = quantize(small_cnn, W8A8).graph
    registry = MethodRegistry()
    for method in (quantizers("quantize.equalize").method, to_float.method):
        registry.register(method, "quantize")
    steps = tuple(Step(method=id) for id in ("quantize.to_float", "quantize.equalize"))
    result = run_recipe(quantized, Recipe(steps=steps), registry, OrtEngine(1), None)  # type: ignore[arg-type]
    assert result.graph.constant("w1").dtype == np.float32
    with pytest.raises(RecipeError, match=r"quantized already.*quantize.to_float first"):
        run_recipe(quantized, Recipe(steps=steps[1:]), registry, OrtEngine(1), None)  # type: ignore[arg-type]


def test_float_models_and_integer_operators(to_float, small_cnn, graph_from):
    assert "float32 already" in to_float.check(small_cnn, {})[0]
    assert to_float(small_cnn, {}).graph is small_cnn
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (uint8[2,3] x) => (int32[2,2] y) { y = MatMulInteger (x, w) }""",
        {"w": np.ones((3, 2), np.int8)},
    )
    with pytest.raises(UnsupportedGraphError, match="MatMulInteger"):
        to_float.check(graph, {})


def test_half_precision_is_widened_and_then_quantized(quantize, to_float, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float16[n,6] x) => (float16[n,4] y) { m = MatMul (x, w)  r = Relu (m)  y = MatMul (r, v) }""",
        {"w": rng.normal(size=(6, 5)).astype(np.float16), "v": rng.normal(size=(5, 4)).astype(np.float16)},
    )
    assert "unless quantize.to_float comes first" in quantize.check(graph, W8A8)[0]
    wide = to_float(graph, {})
    assert wide.notes == ("half precision widened to float32",)
    inputs = {"x": rng.normal(size=(32, 6)).astype(np.float16)}
    result = quantize(wide.graph, W8A8, tools=quantize.tools(graph, inputs))
    assert result.graph.constant("w_quantized").dtype == np.int8
    exact, found = (open_session(g).run(inputs)["y"].astype(np.float64) for g in (graph, result.graph))
    assert np.square(found - exact).mean() < 0.01 * exact.var()
