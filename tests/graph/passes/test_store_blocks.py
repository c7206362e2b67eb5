"""Packed weights of matrix products: same function in the runtime, in torch and as read back from the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.domain.errors import UnsupportedGraphError
from workbench.engines.inference_ort import open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.cost import graph_cost
from workbench.graph.diff import layer_states
from workbench.graph.layers import find_layers, layer_nodes
from workbench.graph.packed_codes import packed, unpacked
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.passes.store_blocks import store_blocks, why_not_blocks
from workbench.graph.quantization import BlockQuantization
from workbench.graph.storage import model_size_bytes, open_model, save_model
from workbench.graph.weights import weight_values

TEXT = """<ir_version: 9, opset_import: ["" : 17]>
net (float[batch,tokens,{K}] x) => (float[batch,tokens,24] y) {{
    h = MatMul (x, w1)
    r = Relu (h)
    flat = Reshape (r, rows)
    g = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (flat, w2, b2)
    y = Reshape (g, back)
}}"""


def network(graph_from, width):
    rng = np.random.default_rng(0)
    return graph_from(
        TEXT.format(K=width),
        {
            "w1": rng.standard_normal((width, 48)).astype(np.float32),
            "w2": rng.standard_normal((24, 48)).astype(np.float32),
            "b2": rng.standard_normal(24).astype(np.float32),
            "rows": np.array([-1, 48], np.int64),
            "back": np.array([2, -1, 24], np.int64),
        },
    )


def random_blocks(outputs, inputs, bits, block, symmetric):
    rng = np.random.default_rng(bits + block)
    blocks = -(-inputs // block)
    weight = BlockQuantization(
        np.zeros((outputs, inputs), np.uint8), np.zeros((outputs, blocks), np.float32), np.zeros(0), bits, block
    )
    middle = 2 ** (weight.container - 1)
    low, high = (middle - 2 ** (bits - 1), middle + 2 ** (bits - 1)) if symmetric else (0, 2**bits)
    zeros = np.full((outputs, blocks), middle) if symmetric else rng.integers(low, high, (outputs, blocks))
    return BlockQuantization(
        rng.integers(low, high, (outputs, inputs)).astype(np.uint8),
        rng.uniform(0.01, 0.1, (outputs, blocks)).astype(np.float32),
        zeros.astype(np.uint8),
        bits,
        block,
    )


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "block", "width"), [(4, 32, 64), (8, 16, 64), (2, 64, 64), (3, 32, 80), (4, 128, 40)])
def test_both_engines_and_the_file_agree(graph_from, tmp_path, bits, block, width, symmetric):
    graph = network(graph_from, width)
    first, second = (node for node, _ in layer_nodes(graph))
    weights = {
        first.name: random_blocks(48, width, bits, block, symmetric),
        second.name: random_blocks(24, 48, bits, block, symmetric),
    }
    blocks = store_blocks(graph, weights)
    plain = graph.with_initializers({"w1": weights[first.name].values().T, "w2": weights[second.name].values()})
    x = np.random.default_rng(1).standard_normal((2, 3, width)).astype(np.float32)
    expected = open_session(plain, threads=1).run({"x": x})["y"]
    np.testing.assert_allclose(open_session(blocks, threads=1).run({"x": x})["y"], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(TorchEngine(threads=1).run(blocks, {"x": x})["y"], expected, rtol=1e-4, atol=1e-3)

    save_model(blocks, tmp_path / "blocks.onnx")
    again = open_model(tmp_path / "blocks.onnx")
    np.testing.assert_allclose(open_session(again, threads=1).run({"x": x})["y"], expected, rtol=1e-4, atol=1e-3)
    layers = {node.name: weight for node, weight in layer_nodes(again)}
    assert list(layers) == [first.name, second.name]
    assert layers[first.name].shape == (width, 48)
    np.testing.assert_allclose(weight_values(again, layers[first.name]), weights[first.name].values().T, rtol=1e-6)
    assert {state.bits for state in layer_states(again).values()} == {bits}
    size = model_size_bytes(tmp_path / "blocks.onnx")
    assert (packed_size_bytes(again, size) < size) == (bits == 3)


def test_costs_and_shapes_are_those_of_the_products(graph_from):
    graph = network(graph_from, 64)
    first, second = (node.name for node, _ in layer_nodes(graph))
    blocks = store_blocks(
        graph, {first: random_blocks(48, 64, 4, 32, True), second: random_blocks(24, 48, 4, 16, True)}
    )
    dims = {"batch": 2, "tokens": 3}
    before, after = graph_cost(graph, dims), graph_cost(blocks, dims)
    assert (after.macs, after.params) == (before.macs, before.params)
    assert after.uncounted_ops == ()
    shown = {layer.name: (layer.weight_shape, layer.output_shape, layer.knobs) for layer in find_layers(blocks, dims)}
    assert shown[first] == ((64, 48), (2, 3, 48), ())


def test_integer_arithmetic_rounds_the_data(graph_from):
    graph = network(graph_from, 64)
    (first, *_) = (node.name for node, _ in layer_nodes(graph))
    weights = {first: random_blocks(48, 64, 4, 32, True)}
    x = np.random.default_rng(1).standard_normal((2, 3, 64)).astype(np.float32)
    exact, rounded = (
        open_session(store_blocks(graph, weights, integer_arithmetic=integers), threads=1).run({"x": x})["y"]
        for integers in (False, True)
    )
    assert 0 < np.abs(exact - rounded).max() < 0.03 * np.abs(exact).max()


@pytest.mark.parametrize("bias", ["b", "table", "computed"])
def test_a_layer_that_makes_the_output_keeps_its_name_and_bias(graph_from, bias):
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((32, 16)).astype(np.float32),
        "b": rng.standard_normal(16).astype(np.float32),
        "table": rng.standard_normal((2, 16)).astype(np.float32),
        "two": np.float32(2),
    }
    graph = graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[2,32] x, float[2,16] z) => (float[2,16] y) {{
            computed = Mul (z, two)
            y = Gemm <beta = 0.5> (x, w, {bias})
        }}""",
        weights,
    )
    (layer,) = [node.name for node, _ in layer_nodes(graph)]
    blocks = random_blocks(16, 32, 4, 16, False)
    x = {"x": rng.standard_normal((2, 32)).astype(np.float32), "z": rng.standard_normal((2, 16)).astype(np.float32)}
    expected = open_session(graph.with_initializers({"w": blocks.values().T}), threads=1).run(x)["y"]
    found = open_session(store_blocks(graph, {layer: blocks}), threads=1).run(x)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_packed_is_refused(graph_from, small_cnn):
    conv = next(node for node in small_cnn.nodes if node.op == "Conv")
    assert "no operator that reads packed weights" in why_not_blocks(small_cnn, conv)
    with pytest.raises(UnsupportedGraphError, match="packed blocks"):
        store_blocks(small_cnn, {conv.name: random_blocks(8, 8, 4, 16, True)})


@given(bits=st.sampled_from([2, 4, 8]), count=st.integers(1, 40), seed=st.integers(0, 99))
def test_packing_round_trip(bits, count, seed):
    codes = np.random.default_rng(seed).integers(0, 2**bits, (3, count)).astype(np.uint8)
    stored = packed(codes, bits)
    assert stored.shape == (3, -(-count * bits // 8))
    assert np.array_equal(unpacked(stored, bits, count), codes)
