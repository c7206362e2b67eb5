"""Levels beyond evenly spaced ones: what they are, that both engines compute them, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from workbench.domain.errors import RecipeError
from workbench.engines.inference_ort import open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.diff import layer_states
from workbench.graph.layers import layer_nodes
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.storage import model_size_bytes, open_model, save_model


@pytest.fixture
def grids(quantize):
    package = type(quantize.method.Parameters()).__module__.rpartition(".")[0]
    return sys.modules[f"{package}.grids"]


@pytest.fixture
def wide(graph_from):
    rng = np.random.default_rng(0)
    shapes = {"w1": (32, 16, 3, 3), "w2": (32, 32, 3, 3), "w3": (10, 32)}
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,16,8,8] x) => (float[batch,10] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1, b1)
            b = Relu (a)
            c = Conv <pads = [1,1,1,1]> (b, w2)
            d = Relu (c)
            e = GlobalAveragePool (d)
            f = Flatten (e)
            y = Gemm <transB = 1> (f, w3)
        }""",
        {
            **{name: (rng.standard_normal(shape) / 12).astype(np.float32) for name, shape in shapes.items()},
            "b1": rng.standard_normal(32).astype(np.float32) / 10,
        },
    )


LEVELS = {
    ("uniform", 1): {-1, 1},
    ("ternary", 2): {-1, 0, 1},
    ("power_of_two", 3): {0, 1, -1, 2, -2, 4, -4},
    ("power_of_two", 4): {0, *(sign * 2**power for power in range(7) for sign in (1, -1))},
    ("apot", 4): {0, *(sign * level for level in (1, 2, 3, 4, 6, 8, 10) for sign in (1, -1))},
    ("apot", 5): None,
}


@pytest.mark.parametrize(("grid", "bits"), LEVELS)
@pytest.mark.parametrize("storage", ["fast", "small"])
def test_files_hold_the_levels_and_both_engines_compute_them(quantize, wide, tmp_path, grid, bits, storage):
    result = quantize(wide, {"weight_bits": bits, "activation_bits": 8}, grid=grid, storage=storage)
    save_model(result.graph, tmp_path / "grid.onnx")
    graph = open_model(tmp_path / "grid.onnx")
    x = quantize.tools(wide).data.inputs
    runtime = open_session(graph, threads=1).run(x)["y"]
    unfused = open_session(graph, threads=1, optimize=False).run(x)["y"]
    torch = TorchEngine(threads=1).run(graph, x)["y"]
    # A level of the output apart at most, where the runtime's integers round a tie to the other side.
    np.testing.assert_allclose(torch, unfused, atol=0.02 * np.abs(torch).max())
    np.testing.assert_allclose(runtime, unfused, atol=0.03 * np.abs(torch).max())
    assert {state.bits for state in layer_states(graph).values()} == {bits}
    if storage == "fast":
        found = set(np.unique(graph.constant("w2_quantized")).tolist())
        assert len(found) <= 2**bits
        if LEVELS[grid, bits] is not None:
            assert found <= LEVELS[grid, bits]
    else:
        stored = {weight.bits for node, weight in layer_nodes(graph) if node.op == "Conv"}
        assert stored == {2.0 if bits < 3 else 4.0 if bits < 5 else 8.0}
    size = model_size_bytes(tmp_path / "grid.onnx")
    elements = sum(int(np.prod(weight.shape)) for _, weight in layer_nodes(graph))
    held = sum(weight.nbytes for _, weight in layer_nodes(graph))
    assert abs(size - packed_size_bytes(graph, size) - (held - elements * bits / 8)) <= 3


def test_scales_of_few_levels_are_the_best_ones(grids):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 50))
    loss = lambda found: np.square(found.integers * found.scales[:, None] - weight).sum(axis=1)  # noqa: E731
    for grid, bits in (("uniform", 1), ("ternary", 2)):
        best = grids.Rounding(grid).quantized(weight, 0, bits, "mse")
        for share in np.linspace(0.3, 2, 40):
            scales = best.scales * share
            integers = np.where(weight >= 0, 1, -1) if bits == 1 else np.clip(np.rint(weight / scales[:, None]), -1, 1)
            other = np.square(integers * scales[:, None] - weight).sum(axis=1)
            assert (loss(best) <= other + 1e-5).all()


def test_denser_levels_near_zero_suit_bell_shaped_weights(grids):
    weight = np.random.default_rng(0).standard_normal((8, 4000))

    def loss(grid):
        found = grids.Rounding(grid).quantized(weight, 0, 4, "mse")
        return float(np.square(found.integers * found.scales[:, None] - weight).mean())

    assert loss("apot") < loss("power_of_two")
    assert loss("apot") < 1.3 * loss("uniform")


@pytest.mark.parametrize("grid", ["uniform", "apot", "ternary"])
def test_power_of_two_scales(quantize, wide, grid):
    bits = 2 if grid == "ternary" else 4
    result = quantize(wide, {"weight_bits": bits, "activation_bits": 8}, grid=grid, power_of_two_scales=True)
    for node in result.graph.nodes:
        if node.op == "DequantizeLinear" and result.graph.value(node.inputs[0]).dtype in ("int8", "uint8"):
            powers = np.log2(result.graph.constant(node.inputs[1]).astype(np.float64))
            np.testing.assert_allclose(powers, np.rint(powers), atol=1e-6)


def test_zero_channels_stay_zero(grids):
    weight = np.ones((2, 9), np.float32)
    weight[1] = 0
    for grid, bits in LEVELS:
        found = grids.Rounding(grid).quantized(weight, 0, bits, "mse")
        values = found.integers * found.scales[:, None]
        assert np.abs(values[1]).max() < 1e-20
        np.testing.assert_allclose(values[0], 1, rtol=1e-5)


def test_binary_activations_have_two_levels(quantize, wide):
    result = quantize(wide, {"weight_bits": 1, "activation_bits": 8}, {"Conv_2": {"activation_bits": 1}})
    x = quantize.tools(wide).data.inputs
    graph = result.graph
    clipped = [node for node in graph.nodes if node.op == "Clip"]
    assert clipped
    values = graph.with_outputs([clipped[0].outputs[0], "y"])
    found = open_session(values, threads=1).run(x)
    assert len(np.unique(found[clipped[0].outputs[0]])) == 2
    assert np.isfinite(found["y"]).all()


@pytest.mark.parametrize("calibrator", ["auto", "minmax", "moving_average", "percentile", "mse", "entropy"])
def test_every_calibrator_finds_a_range_for_one_bit(quantize, wide, calibrator):
    result = quantize(wide, {"weight_bits": 8, "activation_bits": 1}, calibrator=calibrator)
    x = quantize.tools(wide).data.inputs
    assert np.isfinite(open_session(result.graph, threads=1).run(x)["y"]).all()


@pytest.mark.parametrize(
    ("method", "plan", "parameters", "words"),
    [
        ("quantize.gptq", {"weight_bits": 1}, {}, "weight_bits is 1, which quantize.gptq can't do"),
        ("quantize.gptq", {"activation_bits": 1}, {}, "activation_bits is 1, which quantize.gptq can't do"),
        ("quantize.ptq", {"weight_bits": 5}, {"grid": "power_of_two"}, "do not fit into 8 bits"),
        ("quantize.ptq", {"weight_bits": 7}, {"grid": "apot"}, "do not fit into 8 bits"),
    ],
)
def test_what_has_no_levels_is_refused_before_the_run(quantizers, wide, method, plan, parameters, words):
    with pytest.raises(RecipeError, match=words):
        quantizers(method).check(wide, plan, **parameters)
