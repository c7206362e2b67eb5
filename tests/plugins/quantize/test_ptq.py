from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, DataError, RecipeError
from workbench.engines.inference_ort import open_session
from workbench.engines.inference_ort.calibration import CALIBRATORS
from workbench.graph.layers import layer_nodes
from workbench.graph.storage import open_model

W8A8 = {"weight_bits": 8, "activation_bits": 8}


def executed(graph, tmp_path: Path) -> Counter:
    """Return the operators that the runtime executes, fused and laid out."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def sqnr_db(graph, quantized, inputs, *, optimize=True) -> float:
    (name,) = [info.name for info in graph.outputs]
    exact = open_session(graph, threads=1).run(inputs)[name].astype(np.float64)
    error = open_session(quantized, threads=1, optimize=optimize).run(inputs)[name] - exact
    return float(10 * np.log10((exact**2).sum() / (error**2).sum()))


def test_everything_between_two_layers_runs_on_integers(quantize, small_cnn, tmp_path):
    result = quantize(small_cnn, W8A8)
    ops = executed(result.graph, tmp_path)
    assert ops["QLinearConv"] == 2
    assert ops["QLinearAdd"] == 1
    assert ops["QGemm"] == 1
    assert ops["QuantizeLinear"] == 1
    assert ops["DequantizeLinear"] == 0
    assert not {"Relu", "Conv", "Gemm", "Add"} & set(ops)
    inputs = quantize.tools(small_cnn).data.inputs
    assert sqnr_db(small_cnn, result.graph, inputs) > 25


BLOCKS = {
    "pooling": "p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r1)  q = AveragePool <kernel_shape = [2,2]> (p)",
    "concat": "c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)  s = Relu (c2)  q = Concat <axis = 1> (r1, s)",
    "clip": "c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)  q = Clip (c2, zero, six)",
    "leaky": "c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)  q = LeakyRelu <alpha = 0.1> (c2)",
    "gate": """g = GlobalAveragePool (r1)  c2 = Conv (g, w5, b2)  e = Sigmoid (c2)  q = Mul (r1, e)""",
    "swish": """c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)  e = Sigmoid (c2)  q = Mul (c2, e)""",
    "resize": 'q = Resize <mode = "nearest"> (r1, , scales)',
    "linear": 'q = Resize <mode = "linear"> (r1, , scales)',
    "pad": "q = Pad (r1, pads)",
    "slice": "q = Slice (r1, starts, ends, axes, steps)",
    "shuffle": "a = Reshape (r1, split)  t = Transpose <perm = [0,2,1,3,4]> (a)  q = Reshape (t, join)",
    "depth": "q = DepthToSpace <blocksize = 2> (r1)",
    "split": "s, t = Split <axis = 1> (r1, halves)  q = Add (s, t)",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_no_float_island_inside(quantize, graph_from, tmp_path, block):
    rng = np.random.default_rng(0)
    channels = {"concat": 16, "depth": 2, "split": 4}.get(block, 8)
    graph = graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,5] y) {{
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            {BLOCKS[block]}
            c3 = Conv (q, w3, b3)
            r3 = Relu (c3)
            g3 = GlobalAveragePool (r3)
            f = Flatten (g3)
            y = Gemm <transB = 1> (f, w4, b4)
        }}""",
        {
            "w1": rng.normal(size=(8, 3, 3, 3)).astype(np.float32) * 0.3,
            "b1": rng.normal(size=8).astype(np.float32) * 0.1,
            "w2": rng.normal(size=(8, 8, 3, 3)).astype(np.float32) * 0.2,
            "b2": rng.normal(size=8).astype(np.float32) * 0.1,
            "w3": rng.normal(size=(6, channels, 1, 1)).astype(np.float32),
            "b3": rng.normal(size=6).astype(np.float32),
            "w4": rng.normal(size=(5, 6)).astype(np.float32),
            "b4": rng.normal(size=5).astype(np.float32),
            "w5": rng.normal(size=(8, 8, 1, 1)).astype(np.float32),
            "zero": np.array(0, np.float32),
            "six": np.array(6, np.float32),
            "scales": np.array([1, 1, 2, 2], np.float32),
            "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            "starts": np.array([0, 0]),
            "ends": np.array([8, 8]),
            "axes": np.array([2, 3]),
            "steps": np.array([2, 2]),
            "split": np.array([0, 2, 4, 8, 8]),
            "join": np.array([0, 8, 8, 8]),
            "halves": np.array([4, 4]),
        },
    )
    result = quantize(graph, W8A8, linear_resize="integer")
    ops = executed(result.graph, tmp_path)
    assert ops["QuantizeLinear"] == 1, ops
    assert ops["DequantizeLinear"] == 0, ops
    assert sqnr_db(graph, result.graph, quantize.tools(graph).data.inputs) > 20


def test_matmul_with_bias_becomes_one_integer_operator(quantize, graph_from, tmp_path):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 13]>
        net (float[n,16] x) => (float[n,4] y) {
            m = MatMul (x, w1)  a = Add (m, b1)  r = Relu (a)  k = MatMul (r, w2)  y = Add (k, b2)
        }""",
        {
            "w1": rng.normal(size=(16, 8)).astype(np.float32),
            "b1": rng.normal(size=8).astype(np.float32),
            "w2": rng.normal(size=(8, 4)).astype(np.float32),
            "b2": rng.normal(size=4).astype(np.float32),
        },
    )
    result = quantize(graph, W8A8)
    assert executed(result.graph, tmp_path) == Counter({"QGemm": 2, "QuantizeLinear": 1})


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_low_bits_stay_on_integer_kernels_and_within_their_levels(quantize, small_cnn, tmp_path, bits):
    result = quantize(small_cnn, {"weight_bits": bits, "activation_bits": bits})
    ops = executed(result.graph, tmp_path)
    assert (ops["QLinearConv"], ops["QGemm"], ops["Conv"], ops["Gemm"]) == (2, 1, 0, 0)
    for name in ("w1", "w2", "w3"):
        stored = result.graph.constant(f"{name}_quantized")
        assert stored.dtype == np.int8
        assert stored.min() >= -(2 ** (bits - 1))
        assert stored.max() <= 2 ** (bits - 1) - 1
    by_name = {node.name: weight for node, weight in layer_nodes(result.graph)}
    assert set(by_name) == {"Conv_0", "Conv_2", "Gemm_7"}
    metadata = {node.name: node.metadata_props for node in result.graph.edit().graph}
    for name in by_name:
        assert metadata[name]["workbench.weight_bits"] == str(bits)
        assert metadata[name]["workbench.activation_bits"] == str(bits)


def test_more_bits_are_closer(quantize, small_cnn):
    inputs = quantize.tools(small_cnn).data.inputs
    results = []
    for bits in (2, 4, 6, 8):
        result = quantize(small_cnn, {"weight_bits": bits, "activation_bits": bits}).graph
        # Node by node, where 8-bit sums saturate on no processor.
        results.append(sqnr_db(small_cnn, result, inputs, optimize=False))
    assert results == sorted(results)


def test_weights_only_and_activations_only(quantize, small_cnn, tmp_path):
    weights = quantize(small_cnn, {"weight_bits": 4}, tools=quantize.tools(small_cnn, data=None)).graph
    assert executed(weights, tmp_path)["QuantizeLinear"] == 0
    assert len(weights.to_bytes()) < len(small_cnn.to_bytes())
    activations = quantize(small_cnn, {"activation_bits": 4}).graph
    assert np.array_equal(activations.constant("w2"), small_cnn.constant("w2"))
    assert activations.producer("w2") is None


def test_one_layer_alone_changes_nothing_else(quantize, small_cnn):
    result = quantize(small_cnn, {}, {"Conv_2": {"weight_bits": 4}}).graph
    assert result.constant("w2_quantized").dtype == np.int8
    assert np.array_equal(result.constant("w1"), small_cnn.constant("w1"))
    inputs = quantize.tools(small_cnn).data.inputs
    untouched = open_session(small_cnn.with_outputs(["r1"])).run(inputs)["r1"]
    np.testing.assert_array_equal(open_session(result.with_outputs(["r1"])).run(inputs)["r1"], untouched)


def test_a_layer_left_in_float_reads_what_nobody_quantized(quantize, small_cnn):
    result = quantize(small_cnn, W8A8, {"Conv_2": {"weight_bits": 32, "activation_bits": 32}}).graph
    assert result.node("Conv_2").inputs[0] == "r1"
    assert result.constant("w2") is not None


def test_layers_of_different_bits_read_the_same_value(quantize, graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,8] x) => (float[n,4] y) {
            a = MatMul (x, w1)  r = Relu (a)  b = MatMul (r, w2)  c = MatMul (r, w3)  y = Add (b, c)
        }""",
        {
            "w1": rng.normal(size=(8, 6)).astype(np.float32),
            "w2": rng.normal(size=(6, 4)).astype(np.float32),
            "w3": rng.normal(size=(6, 4)).astype(np.float32),
        },
    )
    result = quantize(graph, W8A8, {"MatMul_3": {"activation_bits": 3}}).graph
    inputs = quantize.tools(graph).data.inputs
    wide, narrow = (result.node(name).inputs[0] for name in ("MatMul_2", "MatMul_3"))
    values = open_session(result.with_outputs([wide, narrow])).run(inputs)
    assert len(np.unique(values[narrow])) <= 8 < len(np.unique(values[wide]))


def test_half_precision_weights(quantize, small_cnn):
    result = quantize(small_cnn, {"weight_bits": 16})
    assert result.graph.constant("w1_half").dtype == np.float16
    assert any("half precision" in note for note in result.notes)
    assert sqnr_db(small_cnn, result.graph, quantize.tools(small_cnn).data.inputs) > 50


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_the_same_twice_and_the_input_untouched(quantize, small_cnn, calibrator):
    before = small_cnn.to_bytes()
    first, second = (quantize(small_cnn, W8A8, calibrator=calibrator).graph.to_bytes() for _ in range(2))
    assert first == second
    assert small_cnn.to_bytes() == before


def test_signed_activations(quantize, small_cnn):
    result = quantize(small_cnn, W8A8, activation_type="int8")
    kinds = {result.graph.constant(node.inputs[2]).dtype for node in result.graph.nodes if node.op == "QuantizeLinear"}
    assert kinds == {np.dtype(np.int8)}
    assert sqnr_db(small_cnn, result.graph, quantize.tools(small_cnn).data.inputs) > 25


def test_batch_norm_is_folded_first(quantize, graph_from, tmp_path):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,6,6] x) => (float[n,4,6,6] y) {
            c = Conv <pads = [1,1,1,1]> (x, w)
            b = BatchNormalization (c, scale, shift, mean, var)
            y = Relu (b)
        }""",
        {
            "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
            **{name: rng.uniform(0.5, 2, size=4).astype(np.float32) for name in ("scale", "shift", "mean", "var")},
        },
    )
    result = quantize(graph, W8A8)
    ops = executed(result.graph, tmp_path)
    assert (ops["QLinearConv"], ops["BatchNormalization"]) == (1, 0)
    assert sqnr_db(graph, result.graph, quantize.tools(graph).data.inputs) > 25


def test_zero_weights_constant_channels_and_dead_inputs(quantize, small_cnn):
    weight = small_cnn.constant("w2").copy()
    weight[3] = 0
    bias = small_cnn.constant("b1").copy()
    bias[0] = 1e6
    tiny = small_cnn.constant("w1").copy()
    tiny[0] *= 1e-12
    graph = small_cnn.with_initializers({"w2": weight, "w1": tiny, "b1": bias, "w3": np.zeros((5, 8), np.float32)})
    inputs = {"x": np.zeros((8, 3, 8, 8), np.float32)}
    result = quantize(graph, W8A8, tools=quantize.tools(graph, inputs))
    y = open_session(result.graph).run(inputs)["y"]
    expected = open_session(graph).run(inputs)["y"]
    np.testing.assert_allclose(y, expected, atol=0.05 * np.abs(expected).max())
    assert any("constant on the calibration data: x" in note for note in result.notes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_calibration_data_that_is_not_finite(quantize, small_cnn, bad):
    inputs = {"x": np.full((4, 3, 8, 8), bad, np.float32)}
    with pytest.raises(DataError, match="'x' is not finite"):
        quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, inputs))


def test_settings_that_cannot_be_honoured(quantize, small_cnn):
    with pytest.raises(RecipeError, match=r"Conv_0.*activation_bits is 16"):
        quantize.check(small_cnn, {"activation_bits": 16})
    with pytest.raises(RecipeError, match="quantized already"):
        quantize.check(quantize(small_cnn, W8A8).graph, W8A8)
    assert "nothing is quantized" in quantize.check(small_cnn, {})[0]
    assert "may round them to 8 bits" in quantize.check(small_cnn, {"activation_bits": 8})[0]
    assert quantize.check(small_cnn, W8A8) == ()


def test_layers_that_share_a_weight_must_agree(quantize, graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,6] x) => (float[n,6] y) { a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, w) }""",
        {"w": np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)},
    )
    with pytest.raises(RecipeError, match=r"MatMul_2.* is 4, but layer 'MatMul_0' shares the weight 'w' at 8"):
        quantize.check(graph, W8A8, {"MatMul_2": {"weight_bits": 4}})
    assert sqnr_db(graph, quantize(graph, W8A8, reduce_range=True).graph, quantize.tools(graph).data.inputs) > 25


def test_no_data_for_activations(quantize, small_cnn):
    with pytest.raises(DataError, match="recipe names no data"):
        quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, data=None))


def test_cancel(quantize, small_cnn):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        quantize(small_cnn, W8A8, tools=quantize.tools(small_cnn, cancel=cancel))


def test_narrow_convolutions_are_padded_where_that_is_faster_and_compute_the_same(quantize, graph_from):
    channels = (3, 16, 11, 3, 3)
    shapes = {f"w{place}": (out, into, 3, 3) for place, (into, out) in enumerate(pairwise(channels))}
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,12,12] x) => (float[n,3,4,4] y) {
            a = Conv (x, w0)
            r = Relu (a)
            b = Conv (r, w1)
            c = Conv (b, w2)
            y = Conv (c, w3)
        }""",
        {name: rng.normal(size=shape).astype(np.float32) / 5 for name, shape in shapes.items()},
    )
    # Where sums saturate, what they come to depends on how a kernel pairs channels.
    padded = quantize(graph, W8A8, reduce_range=True)
    plain = quantize(graph, W8A8, reduce_range=True, pad_channels=False)
    # Nothing is gained where three channels are made of three, and so behind the layer that makes three of eleven.
    wider = {"w0": (16, 4, 3, 3), "w1": (16, 16, 3, 3), "w2": (3, 16, 3, 3)}
    for result, expected in ((padded, shapes | wider), (plain, shapes)):
        assert {name: result.graph.constant(f"{name}_quantized").shape for name in shapes} == expected
    assert any("padded" in note for note in padded.notes)
    inputs = quantize.tools(graph).data.inputs
    outputs = [open_session(result.graph).run(inputs)["y"] for result in (padded, plain)]
    # The integers are the same; kernels may scale the last layer's sums in another order.
    np.testing.assert_allclose(*outputs, rtol=1e-6)


def test_resnet20_has_no_unfused_quantizer(quantize, shared, tmp_path):
    graph = open_model(shared / "data/models/resnet20_cifar10_folded.onnx")
    inputs = {"input": np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32)}
    result = quantize(graph, W8A8, tools=quantize.tools(graph, inputs))
    ops = executed(result.graph, tmp_path)
    assert ops["QuantizeLinear"] == 1
    assert ops["DequantizeLinear"] == 0
    assert (ops["QLinearConv"], ops["QLinearAdd"], ops["QGemm"]) == (19 + 2, 9, 1)  # two shortcuts
    assert not {"Conv", "Gemm", "Add", "Relu", "AveragePool"} & set(ops)


def test_padded_shortcuts_run_as_convolutions_and_give_the_same_integers(quantize, shared, tmp_path):
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    convolved = quantize(graph, W8A8)
    ops = executed(convolved.graph, tmp_path)
    assert ops["Slice"] == 0
    assert ops["QLinearConv"] == 19 + 2
    moved = quantize(graph, W8A8, convolve_shortcuts=False)
    assert executed(moved.graph, tmp_path)["Slice"] == 2
    inputs = quantize.tools(graph).data.inputs
    logits = [open_session(result.graph, threads=1).run(inputs)["logits"] for result in (convolved, moved)]
    np.testing.assert_array_equal(*logits)


def test_the_same_bytes_in_every_process(small_cnn, tmp_path):
    (tmp_path / "net.onnx").write_bytes(small_cnn.to_bytes())
    script = tmp_path / "script.py"
    script.write_text(
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        "sys.path[:0] = [str(Path(sys.argv[1])), str(Path(sys.argv[2]))]\n"
        "from quantize.placement import place\n"
        "from quantize.layers import LayerBits\n"
        "from workbench.graph.storage import open_model\n"
        "graph = open_model(sys.argv[3])\n"
        "layers = {n.name: LayerBits(8, 8, 0, 1) for n in graph.nodes if n.op in ('Conv', 'Gemm')}\n"
        "print(list(place(graph, layers).bits))\n"
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, str(script), str(root), str(root / "plugins"), str(tmp_path / "net.onnx")]
    outputs = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True
        ).stdout
        for seed in range(4)
    }
    assert len(outputs) == 1


def test_one_scale_for_a_whole_weight(quantize, small_cnn):
    graph = quantize(small_cnn, {"weight_bits": 8, "activation_bits": 8}, weight_scales="tensor").graph
    assert all(graph.constant(f"{name}_scale").shape == () for name in ("w1", "w2", "w3"))
    assert np.abs(graph.constant("w2_quantized")).max() == 127
    channels = quantize(small_cnn, {"weight_bits": 8, "activation_bits": 8}).graph
    assert channels.constant("w2_scale").shape == (small_cnn.constant("w2").shape[0],)


@pytest.mark.parametrize(("kind", "middle"), [("uint8", 128), ("int8", 0)])
def test_symmetric_activations_have_zero_in_the_middle(quantize, small_cnn, kind, middle):
    bits = {"weight_bits": 8, "activation_bits": 8}
    graph = quantize(small_cnn, bits, activation_scheme="symmetric", activation_type=kind).graph
    zeros = [graph.constant(node.inputs[2]) for node in graph.nodes if node.op == "QuantizeLinear"]
    assert {int(zero) for zero in zeros} == {middle}
