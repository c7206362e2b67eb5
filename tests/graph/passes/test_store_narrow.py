"""Weights in fewer bits: the same results in the runtime and in torch, a smaller file, names that stay."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.diff import layer_states
from workbench.graph.layers import layer_nodes
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.passes.half_precision import store_half
from workbench.graph.passes.insert_qdq import insert_qdq
from workbench.graph.passes.store_narrow import narrow_trial, store_narrow
from workbench.graph.quantization import WeightQuantization
from workbench.graph.storage import model_size_bytes, open_model, save_model
from workbench.graph.weights import weight_of, weight_values


@pytest.fixture
def conv(graph_from):
    weight = np.random.default_rng(0).standard_normal((32, 16, 3, 3)).astype(np.float32)
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,16,8,8] x) => (float[batch,32,6,6] y) { y = Conv (x, w) }""",
        {"w": weight},
    )


def quantized(graph, levels, bits):
    rng = np.random.default_rng(1)
    integers = rng.choice(np.asarray(levels, np.int8), graph.constant_shape("w"))
    scales = rng.uniform(0.1, 1, len(integers)).astype(np.float32)
    return insert_qdq(graph, {}, {"w": WeightQuantization(integers, scales, 0, bits)})


def run(graph, x):
    return open_session(graph, threads=1).run({"x": x})["y"]


GRIDS = {
    "4 bits": (range(-8, 8), 4, "int4", 21),
    "3 bits": (range(-4, 4), 3, "int4", 21),
    "2 bits": (range(-2, 2), 2, "int2", 25),
    "ternary": ((-1, 0, 1), 2, "int2", 25),
    "powers of two": ((-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64), 4, "uint4", 21),
    "four levels": ((-100, -20, 20, 100), 2, "uint2", 25),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_results_stay_and_the_file_shrinks(conv, tmp_path, name):
    levels, bits, dtype, opset = GRIDS[name]
    wide = quantized(conv, levels, bits)
    narrow = store_narrow(wide)
    assert narrow.notes == ()
    x = np.random.default_rng(2).standard_normal((2, 16, 8, 8)).astype(np.float32)
    expected = run(wide, x)
    assert np.array_equal(run(narrow.graph, x), expected)
    np.testing.assert_allclose(TorchEngine(threads=1).run(narrow.graph, {"x": x})["y"], expected, rtol=1e-4, atol=1e-2)
    assert narrow.graph.opset == opset

    ((node, weight),) = layer_nodes(narrow.graph)
    assert (weight.dtype, weight.bits) == (dtype, 4 if dtype.endswith("4") else 2)
    assert weight.shape == (32, 16, 3, 3)
    ((_, before),) = layer_nodes(wide)
    assert np.array_equal(weight_values(narrow.graph, weight), weight_values(wide, before))
    assert narrow.graph.value("w_quantized").dtype == "int8"

    for graph, file in ((wide, "wide.onnx"), (narrow.graph, "narrow.onnx")):
        save_model(graph, tmp_path / file)
    sizes = [model_size_bytes(tmp_path / file) for file in ("wide.onnx", "narrow.onnx")]
    assert sizes[0] - sizes[1] > weight.nbytes * 0.8
    again = open_model(tmp_path / "narrow.onnx")
    assert np.array_equal(run(again, x), expected)
    assert layer_states(again)[node.name].bits == bits
    packed = packed_size_bytes(again, sizes[1])
    assert sizes[1] - packed == weight.nbytes - 32 * 16 * 9 * bits // 8


def test_small_and_wide_weights_stay_in_int8(conv):
    wide = quantized(conv, range(-127, 128), 8)
    kept = store_narrow(wide)
    assert kept.graph is wide
    assert "stay in 8 bits" in kept.notes[0]


def test_only_what_the_runtime_reads_is_used(conv):
    narrow = store_narrow(quantized(conv, (-1, 0, 1), 2), allowed=(4,)).graph
    ((_, weight),) = layer_nodes(narrow)
    assert weight.dtype == "int4"


def test_where_the_opset_cannot_be_raised_weights_stay(conv, monkeypatch):
    from workbench.domain.errors import UnsupportedGraphError
    from workbench.graph.passes import store_narrow as module

    def refuse(graph, version):
        raise UnsupportedGraphError(f"no opset {version}")

    monkeypatch.setattr(module, "upgrade_opset", refuse)
    wide = quantized(conv, (-1, 0, 1), 2)
    kept = store_narrow(wide)
    assert kept.graph is wide
    assert [note.split(":")[0] for note in kept.notes] == [
        "weights are not stored in 2 bits",
        "weights are not stored in 4 bits",
    ]


@pytest.mark.parametrize("bits", [4, 2])
def test_the_runtime_here_reads_the_trial(bits):
    result = open_session(narrow_trial(bits), threads=1).run({"x": np.zeros(3, np.float32)})["y"]
    assert result.tolist() == [0.0, 1.0, -1.0]


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_weights_are_the_same_in_both_engines(conv, tmp_path, kind):
    half = store_half(conv, ["w"], kind)
    x = np.random.default_rng(2).standard_normal((2, 16, 8, 8)).astype(np.float32)
    expected = run(half, x)
    np.testing.assert_allclose(TorchEngine(threads=1).run(half, {"x": x})["y"], expected, atol=1e-4)
    save_model(half, tmp_path / "half.onnx")
    again = open_model(tmp_path / "half.onnx")
    assert np.array_equal(run(again, x), expected)
    weight = weight_of(again, again.nodes[-1])
    assert (weight.dtype, weight.nbytes) == (kind, 32 * 16 * 9 * 2)
    exact = run(conv, x)
    assert 0 < np.abs(expected - exact).max() < (0.05 if kind == "float16" else 0.4)


def test_bfloat16_holds_what_float16_cannot(conv):
    from workbench.domain.errors import UnsupportedGraphError

    large = conv.with_initializers({"w": conv.constant("w") * np.float32(1e6)})
    with pytest.raises(UnsupportedGraphError, match="can't be stored in half precision"):
        store_half(large, ["w"])
    assert store_half(large, ["w"], "bfloat16").value("w_half").dtype == "bfloat16"
