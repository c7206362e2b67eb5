"""Weights with zero points: closer to one-sided weights, the same on every rung, and never on a slow kernel unasked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.domain.errors import RecipeError
from workbench.engines.inference_ort import OrtEngine, open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.compared_values import layers_with_zero_points
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.insert_qdq import insert_qdq
from workbench.graph.passes.remove_quantizers import remove_quantizers
from workbench.graph.passes.trainable_qdq import rescaled_weights, trainable_qdq
from workbench.graph.quantization import WeightQuantization
from workbench.graph.storage import open_model, save_model
from workbench.methods.distribution import weight_distribution

W4A8 = {"weight_bits": 4, "activation_bits": 8}
LEARNING = {"iterations": 20, "samples": 32, "batch_size": 16, "calibration_samples": 32}


@pytest.fixture
def lopsided(small_cnn):
    """Channels that lie to one side of zero, which is where symmetric levels are lost."""
    weight = np.abs(small_cnn.constant("w2")) * np.array([1, 1, 1, -0.2] * 2, np.float32).reshape(8, 1, 1, 1)
    return small_cnn.with_initializers({"w2": weight})


def error(quantize, graph, scheme):
    result = quantize(graph, {"weight_bits": 4, "activation_bits": 32}, weight_scheme=scheme)
    node = next(node for node in result.graph.nodes if node.name == "w2_DequantizeLinear")
    q, s, z = (result.graph.constant(name).astype(np.float64) for name in node.inputs)
    shape = (-1, 1, 1, 1)
    return np.square((q - z.reshape(shape)) * s.reshape(shape) - graph.constant("w2")).mean()


def test_one_sided_weights_get_levels_twice_as_fine(quantize, lopsided):
    assert error(quantize, lopsided, scheme="affine") < 0.4 * error(quantize, lopsided, scheme="symmetric")


@pytest.mark.parametrize("method", ["quantize.ptq", "quantize.gptq", "quantize.mixed"])
@pytest.mark.parametrize("scales", ["channel", "tensor"])
def test_every_rung_agrees_and_weights_are_stored_as_asked(quantizers, lopsided, tmp_path, method, scales):
    quantize = quantizers(method)
    more = {"budget": "plan"} if method == "quantize.mixed" else {}
    given = {"weight_scheme": "affine", "weight_scales": scales, **more}
    made = quantize(lopsided, W4A8, storage="fast", **given).graph
    assert made.constant("w2_zero_point").any()
    assert made.to_bytes() == quantize(lopsided, W4A8, storage="fast", **given).graph.to_bytes()
    save_model(made, tmp_path / "made.onnx")
    again = open_model(tmp_path / "made.onnx")
    small = quantize(lopsided, W4A8, storage="small", **given).graph
    inputs = quantize.tools(lopsided).data.inputs
    deployed, literal = (open_session(again, threads=1, optimize=on).run(inputs)["y"] for on in (True, False))
    simulated = TorchEngine(threads=1).run(again, inputs)["y"]
    step = np.abs(literal).max() / 255
    np.testing.assert_allclose(simulated, literal, atol=1.01 * step)
    np.testing.assert_allclose(deployed, literal, atol=2.01 * step)
    np.testing.assert_array_equal(open_session(small, threads=1).run(inputs)["y"], deployed)
    assert len(small.to_bytes()) < len(made.to_bytes()) + 4000


def test_the_levels_that_are_drawn_are_those_of_the_file(quantize, lopsided):
    made = quantize(lopsided, W4A8, weight_scheme="affine").graph
    layer = next(node.name for node in made.nodes if node.inputs[1:2] == ("w2",))
    channel = 0
    spread = weight_distribution(lopsided, made, layer, channel=channel).spread
    scale, zero = (float(made.constant(f"w2_{of}")[channel]) for of in ("scale", "zero_point"))
    levels = np.array(spread.levels)
    np.testing.assert_allclose(levels / scale, np.rint(levels / scale), atol=1e-5)
    assert levels.min() >= (-8 - zero) * scale - 1e-6
    assert levels.max() <= (7 - zero) * scale + 1e-6
    assert spread.clipped < 10


def test_going_back_to_float_keeps_the_values(quantize, lopsided):
    made = quantize(lopsided, {"weight_bits": 4, "activation_bits": 32}, weight_scheme="affine").graph
    inputs = quantize.tools(lopsided).data.inputs
    plain = remove_quantizers(made)
    found, exact = (open_session(graph, threads=1).run(inputs)["y"] for graph in (plain, made))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


def test_depthwise_convolutions_stay_symmetric_and_it_is_said(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,16,8,8] x) => (float[n,16,8,8] y) {
            c = Conv <pads = [1,1,1,1], group = 16> (x, w1)  y = Conv (c, w2)
        }""",
        {
            "w1": rng.uniform(0, 1, (16, 1, 3, 3)).astype(np.float32),
            "w2": rng.uniform(0, 1, (16, 16, 1, 1)).astype(np.float32),
        },
    )
    made = quantize(graph, W4A8, weight_scheme="affine").graph
    (pointwise,) = [node.name for node in made.nodes if "w2" in node.inputs]
    assert layers_with_zero_points(made) == (pointwise,)
    assert not made.constant("w1_zero_point").any()
    assert made.constant("w2_zero_point").any()
    warnings = quantize.check(graph, W4A8, weight_scheme="affine")
    assert any("1 depthwise convolution(s) keep symmetric weights" in text for text in warnings)
    assert any("1 convolution(s) get weights with zero points" in text for text in warnings)


def test_levels_about_zero_are_refused_before_the_run(quantize, small_cnn):
    for choice in ({"grid": "apot"}, {"power_of_two_scales": True}):
        with pytest.raises(RecipeError, match="weight_scheme is affine, but"):
            quantize.check(small_cnn, W4A8, weight_scheme="affine", **choice)


def test_learned_rounding_keeps_zero_points_and_zeros(quantizers, lopsided):
    quantize = quantizers("quantize.reconstruct")
    weight = lopsided.constant("w2").copy()
    weight[:, 3] = 0.0
    graph = lopsided.with_initializers({"w2": weight})
    tools = replace(quantize.tools(graph), training=TorchEngine(threads=1))
    made = quantize(graph, W4A8, tools=tools, weight_scheme="affine", **LEARNING).graph
    q, z = (made.constant(f"w2_{of}").astype(int) for of in ("quantized", "zero_point"))
    assert z.any()
    assert (q[:, 3] == z.reshape(-1, 1, 1)).all()
    assert q.min() >= -8
    assert q.max() <= 7
    inputs = tools.data.inputs
    exact, found = (open_session(each, threads=1).run(inputs)["y"] for each in (graph, made))
    assert np.square(found - exact).mean() < 0.02 * exact.var()


def test_what_is_trained_is_what_is_deployed(lopsided):
    """Zero points survive the way to the form that is trained, and back with channels turned over by a batch norm."""
    rng = np.random.default_rng(1)
    zeros = np.array([-8, 7, -5, 3, 0, 0, 2, -8], np.int8)
    scales = rng.uniform(0.01, 0.05, 8).astype(np.float32)
    given = WeightQuantization(np.zeros((8, 8, 3, 3), np.int8), scales, 0, 4, zero_points=zeros)
    given = replace(given, integers=given.nearest(lopsided.constant("w2")))
    form = trainable_qdq(lopsided, {}, {"w2": given})
    x = rng.normal(size=(4, 3, 8, 8)).astype(np.float32)
    deployed = insert_qdq(lopsided, {}, {"w2": given})
    outputs = [OrtEngine(threads=1).open(graph).run({"x": x})["y"] for graph in (form.graph, deployed)]
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)
    learned = form.learned(form.graph)
    np.testing.assert_array_equal(learned.weights["w2"].integers, given.integers)
    signs = np.array([1, -2, 1, -1, 0.5, -1, 3, -0.25], np.float32).reshape(8, 1, 1, 1)
    turned = lopsided.with_initializers({"w2": lopsided.constant("w2") * signs})
    (found,) = rescaled_weights({"w2": given}, lopsided, fold_batch_norm(turned)).values()
    np.testing.assert_allclose(found.values(), given.values() * signs, rtol=1e-5)
    assert found.integers.min() >= -8
    assert found.integers.max() <= 7
