from __future__ import annotations

import numpy as np
import pytest

from plugins.quantize.weights import quantize_weight
from workbench.domain.errors import UnsupportedGraphError
from workbench.engines.inference_ort import open_session
from workbench.graph.passes.insert_qdq import insert_qdq
from workbench.graph.passes.remove_quantizers import remove_quantizers
from workbench.graph.passes.store_narrow import store_narrow
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.passes.widen_half import widen_half
from workbench.graph.storage import open_model


def quantized_conv(graph_from, between="", reads="qx", writes="float[1,2,4,4] y", zero=128):
    return graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[1,2,4,4] x) => ({writes}) {{
            qx = QuantizeLinear (x, sx, zx)
            {between}
            dx = DequantizeLinear ({reads}, sx, zx)
            w = DequantizeLinear <axis = 0> (qw, sw, zw)
            b = DequantizeLinear (qb, sb)
            c = Conv (dx, w, b)
            qc = QuantizeLinear (c, sc, zc)
            y = DequantizeLinear (qc, sc, zc)
        }}""",
        {
            "sx": np.float32(0.1).reshape(()),
            "zx": np.array(zero, np.uint8),
            "qw": np.array([[[[10]], [[-20]]], [[[30]], [[5]]]], np.int8),
            "sw": np.array([0.5, 0.25], np.float32),
            "zw": np.array([0, 0], np.int8),
            "qb": np.array([3, -4], np.int32),
            "sb": np.array(0.05, np.float32),
            "sc": np.array(0.01, np.float32),
            "zc": np.array(0, np.uint8),
            "fill": np.array(zero + 7, np.uint8),
            "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]),
            "lowest": np.array(120, np.uint8),
            "highest": np.array(140, np.uint8),
        },
    )


def test_weights_keep_their_values_and_limits_stay(graph_from):
    graph = quantized_conv(graph_from)
    plain = remove_quantizers(graph)
    assert {node.op for node in plain.nodes} == {"Clip", "Conv", "Identity"}
    np.testing.assert_allclose(plain.constant("w")[:, :, 0, 0], [[5, -10], [7.5, 1.25]])
    np.testing.assert_allclose(plain.constant("b"), [0.15, -0.2], rtol=1e-6)
    x = {"x": np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32) * 20}
    exact = np.clip(x["x"], -12.8, 12.7)
    kernel = plain.constant("w")[:, :, 0, 0]
    expected = np.clip(np.einsum("oc,nchw->nohw", kernel, exact) + np.array([0.15, -0.2]).reshape(1, 2, 1, 1), 0, 2.55)
    np.testing.assert_allclose(open_session(plain).run(x)["y"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("between", "reads"),
    [
        ("m = Pad (qx, pads, fill)", "m"),
        ("m = Clip (qx, lowest, highest)", "m"),
        ("m = Transpose <perm = [0,1,3,2]> (qx)", "m"),
        ("m = MaxPool <kernel_shape = [2,2]> (qx)", "m"),
    ],
)
def test_integers_that_were_moved_become_floats(graph_from, between, reads):
    graph = quantized_conv(graph_from, between, reads, writes="float[1,2,h,w] y")
    plain = remove_quantizers(graph)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op for node in plain.nodes}
    x = {"x": np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)}
    found, rounded = (open_session(g, optimize=False).run(x)["y"] for g in (plain, graph))
    assert np.abs(found - rounded).max() < 0.05 * 15 + 0.01  # half a step of x through the largest row of weights


def test_integer_operators_are_named(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (uint8[2,3] x) => (int32[2,2] y) { y = MatMulInteger (x, w) }""",
        {"w": np.ones((3, 2), np.int8)},
    )
    with pytest.raises(UnsupportedGraphError, match=r"'MatMulInteger_0' is MatMulInteger.*Start from the float model"):
        remove_quantizers(graph)


def test_float_models_are_left_alone(small_cnn):
    assert remove_quantizers(small_cnn) is small_cnn
    assert widen_half(small_cnn) is small_cnn


def test_half_precision_becomes_float32_within(graph_from):
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float16[n,4] x) => (float16[n,3] y) {
            m = MatMul (x, w)  f = Cast <to = 1> (m)  s = Softmax (f)  h = Cast <to = 10> (s)  y = Add (h, b)
        }""",
        {"w": rng.normal(size=(4, 3)).astype(np.float16), "b": rng.normal(size=3).astype(np.float16)},
    )
    wide = widen_half(graph)
    assert {wide.constant(name).dtype for name in ("w", "b")} == {np.dtype(np.float32)}
    assert [info.dtype for info in (*wide.inputs, *wide.outputs)] == ["float16", "float16"]
    x = {"x": rng.normal(size=(5, 4)).astype(np.float16)}
    found, exact = (open_session(g).run(x)["y"] for g in (wide, graph))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, exact, atol=5e-3)


@pytest.mark.parametrize("name", ["edge_conv_qdq_external", "edge_qdq_conv_perchannel"])
def test_quantized_models_of_the_zoo(shared, name):
    graph = open_model(shared / f"data/zoo/{name}.onnx")
    plain = remove_quantizers(graph)
    assert not any("Quantize" in node.op for node in plain.nodes)
    x = {graph.inputs[0].name: np.random.default_rng(0).normal(size=(1, 3, 24, 24)).astype(np.float32) * 50}
    found, rounded = (open_session(g, threads=1).run(x)["output"].astype(np.float64) for g in (plain, graph))
    assert 10 * np.log10(np.square(rounded).sum() / np.square(found - rounded).sum()) > 15


def test_half_precision_of_the_zoo(shared):
    graph = open_model(shared / "data/zoo/squeezenet_fp16.onnx")
    wide = widen_half(graph)
    assert not any(wide.value(name).dtype == "float16" for name in wide.initializers)
    x = {"data_0": np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float16) * 50}
    found, exact = (open_session(g, threads=1).run(x)["softmaxout_1"].ravel() for g in (wide, graph))
    np.testing.assert_allclose(found, exact, atol=0.02)


@pytest.mark.parametrize("bits", [4, 2])
def test_weights_that_are_stored_small_become_floats(small_cnn, bits):
    weight = quantize_weight(small_cnn.constant("w2"), 0, bits, "mse")
    graph = insert_qdq(upgrade_opset(small_cnn, 13), {}, {"w2": weight})
    small = store_narrow(graph).graph
    assert {node.op for node in small.nodes} - {node.op for node in graph.nodes}
    plain = remove_quantizers(small)
    assert {node.op for node in plain.nodes} == {node.op for node in small_cnn.nodes}
    (conv,) = (node for node in plain.nodes if node.name == small_cnn.consumers("w2")[0].name)
    np.testing.assert_array_equal(plain.constant(conv.inputs[1]), weight.values())
