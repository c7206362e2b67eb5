"""What is wrong with a model or with samples is said in one clear line, at the latest by the run; the rest works."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest

from workbench.domain.errors import DataError, UnsupportedGraphError, WorkbenchError
from workbench.engines.contracts import Batch
from workbench.engines.inference_ort import open_session
from workbench.engines.inference_ort.calibration import CALIBRATORS
from workbench.graph.compared_values import saturating_layers
from workbench.graph.layers import layer_nodes

W8A8 = {"weight_bits": 8, "activation_bits": 8}
BITS = [{"weight_bits": weights, "activation_bits": activations} for weights, activations in ((8, 8), (4, 8), (2, 2))]


def outputs(graph, inputs):
    return open_session(graph, threads=1).run(inputs)["y"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("bits", BITS, ids=str)
def test_weights_that_are_not_finite_are_named(quantize, small_cnn, bits, bad):
    weight = small_cnn.constant("w2").copy()
    weight[2, 3, 1, 1] = bad
    graph = small_cnn.with_initializers({"w2": weight})
    with pytest.raises(UnsupportedGraphError, match=r"Conv_2: weight 'w2' holds 1 .* not finite"):
        quantize(graph, {"weight_bits": bits["weight_bits"]}, tools=quantize.tools(graph, data=None))
    with pytest.raises(WorkbenchError, match="not finite"):
        quantize(graph, bits)


@pytest.mark.parametrize("bits", BITS, ids=str)
def test_weights_that_are_all_zero_stay_zero(quantize, small_cnn, bits):
    graph = small_cnn.with_initializers({"w2": np.zeros((8, 8, 3, 3), np.float32)})
    result = quantize(graph, bits)
    assert not result.graph.constant("w2_quantized").any()
    inputs = quantize.tools(graph).data.inputs
    found, exact = outputs(result.graph, inputs), outputs(graph, inputs)
    assert np.isfinite(found).all()
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > (0.99 if bits["activation_bits"] == 8 else 0.5)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_one_huge_value_among_the_samples_still_gives_a_model(quantize, small_cnn, calibrator):
    inputs = dict(quantize.tools(small_cnn).data.inputs)
    spoiled = {"x": inputs["x"].copy()}
    spoiled["x"][5, 0, 0, 0] = 1e30
    result = quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, spoiled), calibrator=calibrator)
    assert np.isfinite(outputs(result.graph, inputs)).all()


def test_a_huge_weight_costs_its_own_channel_only(quantize, small_cnn):
    weight = small_cnn.constant("w1").copy()
    weight[4, 0, 0, 0] = 1e6
    graph = small_cnn.with_initializers({"w1": weight})
    stored = quantize(graph, W8A8).graph
    scales = stored.constant("w1_scale")
    assert scales[4] > 1000 * np.delete(scales, 4).max()
    assert np.isfinite(outputs(stored, quantize.tools(graph).data.inputs)).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_samples_that_are_all_the_same_are_said_to_be(quantize, small_cnn, value):
    inputs = {"x": np.full((8, 3, 8, 8), value, np.float32)}
    result = quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs), reduce_range=True)
    assert any("constant on the calibration data: x" in note for note in result.notes)
    exact, found = outputs(small_cnn, inputs), outputs(result.graph, inputs)
    np.testing.assert_allclose(found, exact, atol=0.1 * np.abs(exact).max())


def test_channels_that_never_change_are_kept(quantize, small_cnn):
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(16, 3, 8, 8)).astype(np.float32)}
    inputs["x"][:, 1] = 2.5
    result = quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs))
    exact, found = outputs(small_cnn, inputs), outputs(result.graph, inputs)
    assert np.square(found - exact).mean() < 0.01 * exact.var()


def test_samples_of_another_shape_are_refused_by_name(quantize, small_cnn):
    inputs = {"x": np.zeros((4, 1, 8, 8), np.float32)}
    with pytest.raises(DataError, match=r"x.*3"):
        quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs))


def test_open_sizes_stay_open(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,h,w] x) => (float[n,4] y) {
            c = Conv <pads = [1,1,1,1]> (x, w1, b1)  r = Relu (c)  p = GlobalAveragePool (r)  y = Flatten (p)
        }""",
        {"w1": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "b1": rng.normal(size=4).astype(np.float32)},
    )
    inputs = {"x": rng.normal(size=(8, 3, 12, 10)).astype(np.float32)}
    result = quantize(graph, W8A8, tools=quantize.tools(graph, inputs), reduce_range=True)
    other = {"x": rng.normal(size=(3, 3, 7, 9)).astype(np.float32)}
    exact, found = outputs(graph, other), outputs(result.graph, other)
    assert np.square(found - exact).mean() < 0.01 * exact.var()


def test_peak_memory_is_flat_from_256_to_4096_samples(quantize, small_cnn):
    class Stream:
        task, metric = "classification", "top1"

        def calibration(self, samples, batch_size=64):
            rng = np.random.default_rng(0)
            for _ in range(samples // 64):
                yield Batch({"x": rng.normal(size=(64, 3, 8, 8)).astype(np.float32)}, None)

    def peak(samples):
        tools = quantize.tools(small_cnn, data=Stream())
        tracemalloc.start()
        quantize(small_cnn, W8A8, tools=tools, calibration_samples=samples, bias_correction=True)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(64)
    assert peak(4096) == pytest.approx(peak(256), rel=0.1)


def test_a_quantized_model_is_named_with_a_way_out(quantize, small_cnn):
    quantized = quantize(small_cnn, W8A8).graph
    with pytest.raises(WorkbenchError) as caught:
        quantize.check(quantized, W8A8)
    assert re.search(r"quantized already: node '.+' is \w+Linear\. .*float model", str(caught.value))


def test_samples_far_beyond_the_others_are_named(quantize, small_cnn):
    inputs = {"x": quantize.tools(small_cnn).data.inputs["x"].copy()}
    assert not any("outliers" in note for note in quantize(small_cnn, W8A8).notes)
    inputs["x"][5, 0, 0, 0] = 1e6
    said = []
    result = quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs, log=said.append))
    (note,) = [note for note in result.notes if "outliers" in note]
    assert "1 of 32 samples of 'x' (number 5 of those read) reach up to 1e+06" in note
    assert note in said


def test_channels_of_an_input_that_never_change_are_named(quantize, small_cnn):
    inputs = {"x": quantize.tools(small_cnn).data.inputs["x"].copy()}
    inputs["x"][:, 1] = 3.0
    notes = quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs)).notes
    assert any("channels [1] of input 'x' never change" in note for note in notes)
    inputs["x"][:] = np.arange(3, dtype=np.float32).reshape(3, 1, 1)
    notes = quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs)).notes
    assert any("all channels of input 'x' never change" in note for note in notes)


def test_layers_that_compute_in_float_all_the_same_are_named_before_the_run(quantize, graph_from):
    rng = np.random.default_rng(0)
    shapes = {"w": (1, 16, 6), "r": (1, 16, 4), "k": (4, 3)}
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[5,n,6] x) => (float[n,3] y) {
            s, last, cell = LSTM <hidden_size = 4> (x, w, r)  flat = Squeeze (last, zero)  y = MatMul (flat, k)
        }""",
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        | {"zero": np.zeros(1, np.int64)},
    )
    (layer,) = [node.name for node in graph.nodes if node.op == "LSTM"]
    (warning,) = [text for text in quantize.check(graph, W8A8) if "compute in float" in text]
    assert "the runtime has no integer kernel for them" in warning
    assert layer in warning
    assert not any("compute in float" in text for text in quantize.check(graph, {"weight_bits": 8}))


def test_what_computes_in_float_is_not_said_to_saturate(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N,3,8,8] x) => (float[N,6,16,16] y) {
            c = Conv <pads = [1,1,1,1]> (x, w1)  r = Relu (c)  y = ConvTranspose <strides = [2,2]> (r, w2)
        }""",
        {
            "w1": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
            "w2": rng.normal(size=(8, 6, 2, 2)).astype(np.float32),
        },
    )
    inputs = {"x": rng.normal(size=(16, 3, 8, 8)).astype(np.float32)}
    result = quantize(graph, W8A8, tools=quantize.tools(graph, inputs))
    assert result.graph.value("w2_quantized").dtype == "int8"
    layers = {node.op: node.name for node, _ in layer_nodes(result.graph)}
    assert saturating_layers(result.graph) == (layers["Conv"],)
