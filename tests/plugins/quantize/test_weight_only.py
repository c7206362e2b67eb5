"""Packed weights: true sizes, both engines, refusals; GPTQ and AWQ lose less than the nearest level does."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import DataError, RecipeError
from workbench.domain.knobs import WEIGHT_BITS
from workbench.domain.reports import LayerReport
from workbench.engines.inference_ort import open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.diff import layer_states
from workbench.graph.layers import layer_nodes
from workbench.graph.storage import model_size_bytes, open_model, save_model
from workbench.graph.weights import weight_values
from workbench.worker.installed_methods import installed_methods

NET = """<ir_version: 9, opset_import: ["" : 17]>
net (float[batch,8,96] x) => (float[batch,8,64] y) {
    n = LayerNormalization <axis = -1> (x, gain, shift)
    h = MatMul (n, w1)
    hb = Add (h, b1)
    r = Relu (hb)
    y = MatMul (r, w2)
}"""


@pytest.fixture
def mlp(graph_from):
    rng = np.random.default_rng(0)
    weights = {
        "gain": np.exp(rng.standard_normal(96)).astype(np.float32),
        "shift": (rng.standard_normal(96) / 4).astype(np.float32),
        "w1": (rng.standard_normal((96, 128)) / 8).astype(np.float32),
        "b1": rng.standard_normal(128).astype(np.float32) / 4,
        "w2": (rng.standard_normal((128, 64)) / 8).astype(np.float32),
    }
    return graph_from(NET, weights)


@pytest.fixture
def correlated():
    """Samples whose elements depend on each other: rank 12 and a little noise."""
    rng = np.random.default_rng(1)
    mix = rng.standard_normal((12, 96))
    x = rng.standard_normal((64, 8, 12)) @ mix + 0.1 * rng.standard_normal((64, 8, 96))
    return {"x": x.astype(np.float32)}


@pytest.fixture
def weight_only(quantizers):
    return quantizers("quantize.weight_only")


def error(exact, graph, inputs):
    run = lambda each: open_session(each, threads=1).run(inputs)["y"].astype(np.float64)  # noqa: E731
    reference = run(exact)
    return float(np.square(run(graph) - reference).mean() / np.square(reference).mean())


@pytest.mark.parametrize(
    ("bits", "symmetric", "least_db"),
    [(8, True, 40), (4, True, 17), (4, False, 17), (3, False, 11), (2, False, 4)],
)
def test_the_file_is_small_and_both_engines_agree(weight_only, mlp, correlated, tmp_path, bits, symmetric, least_db):
    result = weight_only(mlp, {"weight_bits": bits}, symmetric=symmetric, arithmetic="float")
    save_model(result.graph, tmp_path / "packed.onnx")
    graph = open_model(tmp_path / "packed.onnx")
    runtime = open_session(graph, threads=1).run(correlated)["y"]
    np.testing.assert_allclose(TorchEngine(threads=1).run(graph, correlated)["y"], runtime, rtol=1e-3, atol=1e-3)
    assert error(mlp, graph, correlated) < 10 ** (-least_db / 10)
    assert {state.bits for state in layer_states(graph).values()} == {bits}
    assert all(state.activation_bits == 32 for state in layer_states(graph).values())
    container = 2 if bits == 2 else 4 if bits < 5 else 8
    codes = (96 * 128 + 128 * 64) * container // 8
    scales = (3 * 128 + 4 * 64) * 4
    size = model_size_bytes(tmp_path / "packed.onnx")
    assert codes + scales < size < codes + scales + 5000


def test_in_turn_loses_less_on_correlated_inputs(weight_only, mlp, correlated):
    tools = weight_only.tools(mlp, correlated)
    plan = {"weight_bits": 3}
    nearest = weight_only(mlp, plan, tools=tools, arithmetic="float")
    for order in (True, False):
        turned = weight_only(mlp, plan, tools=tools, arithmetic="float", rounding="gptq", activation_order=order)
        assert error(mlp, turned.graph, correlated) < 0.5 * error(mlp, nearest.graph, correlated)
        for figures in turned.details["output_error"].values():
            assert figures["in_turn"] < figures["nearest"]


def test_scaling_is_exact_and_loses_less_where_inputs_differ_in_size(weight_only, quantizers, mlp, correlated):
    large = {"x": correlated["x"]}
    gain = mlp.constant("gain").copy()
    gain[:4] *= 30
    graph = mlp.with_initializers({"gain": gain})
    tools = weight_only.tools(graph, large)
    plain = weight_only(graph, {"weight_bits": 3}, tools=tools, arithmetic="float")
    scaled = weight_only(graph, {"weight_bits": 3}, tools=tools, arithmetic="float", scaling="awq")
    assert error(graph, scaled.graph, large) < 0.8 * error(graph, plain.graph, large)
    assert any("scaled at" in note for note in scaled.notes)
    assert not np.array_equal(scaled.graph.constant("gain"), gain)
    # At 8 bits nothing is left but the scaling itself: it must not change the function.
    exact = weight_only(graph, {"weight_bits": 8}, tools=tools, arithmetic="float", scaling="awq", block_size=16)
    assert error(graph, exact.graph, large) < 1e-4


def test_searching_for_factors_never_makes_a_layer_worse(weight_only, mlp, correlated):
    tools = weight_only.tools(mlp, correlated)
    plan = {"weight_bits": 3}
    kinds = {
        scaling: weight_only(mlp, plan, tools=tools, arithmetic="float", scaling=scaling, rounding="gptq")
        for scaling in ("none", "awq")
    }
    errors = {kind: result.details["output_error"] for kind, result in kinds.items()}
    for name, figures in errors["awq"].items():
        assert figures["nearest"] < 1.05 * errors["none"][name]["nearest"]


def test_both_together(weight_only, mlp, correlated):
    tools = weight_only.tools(mlp, correlated)
    plan = {"weight_bits": 3}
    one = weight_only(mlp, plan, tools=tools, arithmetic="float", scaling="awq")
    both = weight_only(mlp, plan, tools=tools, arithmetic="float", scaling="awq", rounding="gptq")
    assert error(mlp, both.graph, correlated) < error(mlp, one.graph, correlated)


def test_convolutions_get_a_scale_a_channel_and_narrow_storage(weight_only, small_cnn, tmp_path):
    result = weight_only(small_cnn, {"weight_bits": 4})
    kinds = {node.name: weight.dtype for node, weight in layer_nodes(result.graph)}
    convs = [node.name for node in small_cnn.nodes if node.op == "Conv"]
    assert {node.op for node in result.graph.nodes} >= {"MatMulNBits", "DequantizeLinear"}
    assert all(kinds[name] in ("int4", "int8") for name in convs)
    x = weight_only.tools(small_cnn).data.inputs
    (out,) = [info.name for info in small_cnn.outputs]
    runtime = open_session(result.graph, threads=1).run(x)[out]
    np.testing.assert_allclose(TorchEngine(threads=1).run(result.graph, x)[out], runtime, rtol=0.05, atol=0.05)
    for node, weight in layer_nodes(result.graph):
        assert np.isfinite(weight_values(result.graph, weight)).all(), node.name


def test_the_same_samples_give_the_same_bytes(weight_only, mlp, correlated):
    made = [
        weight_only(mlp, {"weight_bits": 4}, tools=weight_only.tools(mlp, correlated), rounding="gptq", scaling="awq")
        for _ in range(2)
    ]
    assert made[0].graph.to_bytes() == made[1].graph.to_bytes()


def test_what_cannot_be_done_is_said_before_the_run(weight_only, mlp):
    with pytest.raises(RecipeError, match="weight_bits is 1"):
        weight_only.check(mlp, {"weight_bits": 1})
    with pytest.raises(DataError, match="names no data"):
        weight_only(mlp, {"weight_bits": 4}, tools=weight_only.tools(mlp, data=None), rounding="gptq")
    quantized = weight_only(mlp, {"weight_bits": 4}).graph
    with pytest.raises(RecipeError, match="quantized already"):
        weight_only.check(quantized, {"weight_bits": 4})
    assert any("2 and 8 bits" in note for note in weight_only.check(mlp, {"weight_bits": 8}, arithmetic="float"))
    assert any("nothing changes" in note for note in weight_only.check(mlp, {}))


@pytest.fixture
def conv_net(graph_from):
    rng = np.random.default_rng(0)
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,8,12,12] x) => (float[batch,16,6,6] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            r = Relu (a)
            b = Conv <pads = [1,1,1,1], group = 4> (r, w2)
            s = Relu (b)
            y = Conv <pads = [1,1,1,1], strides = [2,2]> (s, w3)
        }""",
        {
            "w1": (rng.standard_normal((16, 8, 3, 3)) / 8).astype(np.float32),
            "w2": (rng.standard_normal((16, 4, 3, 3)) / 6).astype(np.float32),
            "w3": (rng.standard_normal((16, 16, 3, 3)) / 12).astype(np.float32),
        },
    )


def test_convolutions_are_rounded_in_turn_by_their_patches(quantizers, conv_net):
    rng = np.random.default_rng(2)
    # Smooth images: neighbouring pixels depend on each other, as those of photographs do.
    x = rng.standard_normal((48, 8, 14, 14))
    x = sum(x[:, :, i : i + 12, j : j + 12] for i in range(3) for j in range(3)).astype(np.float32)
    plan = {"weight_bits": 3, "activation_bits": 8}
    errors = {}
    for method in ("quantize.ptq", "quantize.gptq"):
        quantize = quantizers(method)
        result = quantize(conv_net, plan, tools=quantize.tools(conv_net, {"x": x}), bias_correction=False)
        errors[method] = error(conv_net, result.graph, {"x": x})
    assert errors["quantize.gptq"] < 0.5 * errors["quantize.ptq"]
    for figures in result.details["output_error"].values():
        assert figures["in_turn"] <= figures["nearest"]


def test_layers_without_packed_weights_say_so_before_a_line_is_written():
    method = installed_methods()[0].get("quantize.weight_only").method
    for op, said in (("GRU", "no GRU with packed weights"), ("Gather", "an embedding"), ("Conv", None)):
        layer = LayerReport(name="l", op=op, weight="w", weight_shape=(4, 4), params=16, macs=0, weight_bytes=64)
        reason = method.blocked(WEIGHT_BITS, layer)
        assert reason is None if said is None else said in reason
    assert set(method.refused(WEIGHT_BITS)) == {1}
