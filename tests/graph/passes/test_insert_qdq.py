from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.errors import UnsupportedGraphError
from workbench.engines.inference_ort import open_session
from workbench.graph.passes.half_precision import store_half
from workbench.graph.passes.insert_qdq import Placement, insert_qdq
from workbench.graph.quantization import ActivationQuantization, WeightQuantization

X = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)


def fake(x: np.ndarray, quantization: ActivationQuantization) -> np.ndarray:
    levels = np.clip(
        np.rint(x / np.float32(quantization.scale)) + quantization.zero_point, quantization.lowest, quantization.highest
    )
    return ((levels - quantization.zero_point) * np.float32(quantization.scale)).astype(np.float32)


def rounded(graph, name: str, axis: int, bits: int = 8) -> WeightQuantization:
    weight = graph.constant(name)
    others = tuple(index for index in range(weight.ndim) if index != axis)
    highest = 2 ** (bits - 1) - 1
    scales = (np.abs(weight).max(axis=others) / highest).astype(np.float32)
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    integers = np.clip(np.rint(weight / scales.reshape(shape)), -highest, highest).astype(np.int8)
    return WeightQuantization(integers, scales, axis, bits)


@settings(deadline=None, max_examples=60)
@given(
    low=st.floats(-1e4, 1e4, width=32),
    span=st.floats(0, 1e4, width=32),
    bits=st.integers(2, 8),
    signed=st.booleans(),
    seed=st.integers(0, 100),
)
def test_quantizers_hold_zero_and_round_to_the_nearest_level(low, span, bits, signed, seed):
    quantization = ActivationQuantization.from_range(low, low + span, bits, signed=signed)
    assert quantization.lowest <= quantization.zero_point <= quantization.highest
    assert quantization.highest - quantization.lowest == 2**bits - 1
    assert fake(np.float32(0), quantization) == 0
    bottom = (quantization.lowest - quantization.zero_point) * quantization.scale
    top = (quantization.highest - quantization.zero_point) * quantization.scale
    x = np.random.default_rng(seed).uniform(bottom, top, 100)
    assert np.abs(fake(x, quantization) - x).max() <= quantization.scale * 0.5001 + 1e-6 * abs(top - bottom)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("signed", [False, True])
def test_a_value_gets_exactly_its_levels(graph_from, bits, signed):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,50] x) => (float[n,50] y) { v = Neg (x)  y = Neg (v) }"""
    )
    quantization = ActivationQuantization.from_range(-1.0, 2.0, bits, signed=signed)
    quantized = insert_qdq(graph, {"v": quantization}, {})
    x = np.linspace(-4, 4, 2000, dtype=np.float32).reshape(40, 50)
    for optimize in (False, True):
        y = open_session(quantized, optimize=optimize).run({"x": x})["y"]
        np.testing.assert_allclose(y, -fake(-x, quantization), atol=1e-6)
    assert len(np.unique(y)) == 2**bits


@pytest.mark.parametrize("bits", [4, 8])
def test_names_types_and_metadata_after_quantizing_a_network(small_cnn, bits):
    before = small_cnn.to_bytes()
    unsigned = ActivationQuantization.from_range(0.0, 3.0, bits)
    quantized = insert_qdq(
        small_cnn,
        {"x": ActivationQuantization.from_range(-4, 4, bits), "r1": unsigned},
        {"w2": rounded(small_cnn, "w2", 0, bits)},
    )
    assert small_cnn.to_bytes() == before
    assert quantized.producer("w2").op == "DequantizeLinear"
    assert quantized.constant("w2_quantized").dtype == np.int8
    assert quantized.producer("b2").op == "DequantizeLinear"
    assert quantized.constant("b2_quantized").dtype == np.int32
    assert quantized.constant("b1") is not None
    metadata = {node.name: node.metadata_props for node in quantized.edit().graph}
    assert metadata["Conv_2"]["workbench.weight_bits"] == str(bits)
    assert metadata["Conv_2"]["workbench.activation_bits"] == str(bits)
    assert {"x", "r1", "c1", "y"} <= {output for node in quantized.nodes for output in node.outputs} | {"x"}


def test_a_quantized_output_keeps_its_name(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,6] x) => (float[n,6] v, float[n,6] y) { v = Neg (x)  y = Neg (v) }"""
    )
    quantization = ActivationQuantization.from_range(-1, 1)
    quantized = insert_qdq(graph, {"v": quantization}, {})
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    result = open_session(quantized).run({"x": x})
    assert list(result) == ["v", "y"]
    np.testing.assert_allclose(result["v"], fake(-x, quantization), atol=1e-6)


def test_who_reads_what(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,6] x) => (float[n,6] a, float[n,6] b, float[n,6] c) {
            v = Neg (x)  a = Neg (v)  b = Neg (v)  c = Neg (v)
        }"""
    )
    wide, narrow = ActivationQuantization.from_range(-3, 3), ActivationQuantization.from_range(-2, 2, 3)
    placement = Placement(float_readers={"Neg_1"}, narrower={("Neg_3", 0): narrow})
    quantized = insert_qdq(graph, {"v": wide}, {}, placement)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    result = open_session(quantized).run({"x": x})
    np.testing.assert_array_equal(result["a"], x)
    np.testing.assert_allclose(result["b"], -fake(-x, wide), atol=1e-6)
    np.testing.assert_allclose(result["c"], -fake(fake(-x, wide), narrow), atol=1e-6)


def test_moving_nodes_run_on_integers(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,2,4,4] x) => (float[n,96] y, float[n,2,4,4] z) {
            v = Neg (x)
            s = Slice (v, starts, ends, axes)
            p = Pad (s, pads)
            f = Reshape (p, shape)
            y = Neg (f)
            z = Neg (v)
        }""",
        {
            "starts": np.array([1]),
            "ends": np.array([3]),
            "axes": np.array([2]),
            "pads": np.array([0, 1, 1, 1, 0, 1, 1, 1]),
            "shape": np.array([0, 96]),
        },
    )
    quantization = ActivationQuantization.from_range(-1.0, 3.0)
    moved = Placement(integer_nodes={"Slice_1", "Pad_2", "Reshape_3"})
    quantized = insert_qdq(graph, {"v": quantization}, {}, moved)
    assert graph.value("s").dtype == "float32"
    assert quantized.producer("f").op == "DequantizeLinear"
    assert "s" not in {output for node in quantized.nodes for output in node.outputs}
    plain = insert_qdq(graph, {"v": quantization}, {})
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    expected = open_session(plain, optimize=False).run({"x": x})
    for optimize in (False, True):
        result = open_session(quantized, optimize=optimize).run({"x": x})
        np.testing.assert_array_equal(result["y"], expected["y"])
        np.testing.assert_array_equal(result["z"], expected["z"])


def test_old_opsets_are_raised(graph_from):
    graph = graph_from(
        """<ir_version: 6, opset_import: ["" : 10]>
        net (float[n,3] x) => (float[n,4] y) { y = MatMul (x, w) }""",
        {"w": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)},
    )
    quantized = insert_qdq(graph, {}, {"w": rounded(graph, "w", 1)})
    assert quantized.opset >= 13
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(
        open_session(quantized).run({"x": x})["y"], open_session(graph).run({"x": x})["y"], atol=0.05
    )


def test_unknown_names_are_refused(small_cnn):
    with pytest.raises(KeyError):
        insert_qdq(small_cnn, {"nowhere": ActivationQuantization.from_range(0, 1)}, {})
    with pytest.raises(KeyError):
        insert_qdq(small_cnn, {}, {"x": rounded(small_cnn, "w1", 0)})


def test_half_precision_stores_half_and_computes_in_float(small_cnn):
    half = store_half(small_cnn, ["w1", "w2"])
    assert half.constant("w1_half").dtype == np.float16
    assert len(half.to_bytes()) < len(small_cnn.to_bytes())
    x = {"x": X}
    np.testing.assert_allclose(
        open_session(half).run(x)["y"], open_session(small_cnn).run(x)["y"], rtol=1e-2, atol=1e-2
    )
    metadata = {node.name: node.metadata_props for node in half.edit().graph}
    assert metadata["Conv_0"]["workbench.weight_bits"] == "16"
    huge = small_cnn.with_initializers({"w1": small_cnn.constant("w1") * 1e6})
    with pytest.raises(UnsupportedGraphError, match=r"'w1'.*65504"):
        store_half(huge, ["w1"])
