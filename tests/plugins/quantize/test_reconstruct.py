from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, DataError, JobError
from workbench.engines.inference_ort import open_session
from workbench.engines.reconstruction import RoundingSettings, RoundingTask
from workbench.engines.training_torch import TorchEngine
from workbench.graph.model import ModelGraph
from workbench.methods.method import Requirement

W4A8 = {"weight_bits": 4, "activation_bits": 8}
W4A4 = {"weight_bits": 4, "activation_bits": 4}
# Small enough for a test, long enough to be clearly better than the nearest.
QUICK = {"iterations": 100, "samples": 64, "batch_size": 16, "learning_rate": 0.1, "calibration_samples": 64}


def weights(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1)).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


GRAPHS = {
    "residual": (
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,5] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
            r2 = Relu (c2)
            c3 = Conv <pads = [1,1,1,1]> (r2, w3, b3)
            a = Add (c3, r1)
            r3 = Relu (a)
            p = GlobalAveragePool (r3)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w4, b4)
        }""",
        {
            "w1": (16, 3, 3, 3), "b1": (16,), "w2": (16, 16, 3, 3), "b2": (16,), "w3": (16, 16, 3, 3), "b3": (16,),
            "w4": (5, 16), "b4": (5,),
        },
    ),
    "depthwise": (
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,8,8,8] x) => (float[batch,8,4,4] y) {
            c1 = Conv (x, w1, b1)
            r1 = Clip (c1, zero, six)
            c2 = Conv <pads = [1,1,1,1], strides = [2,2], group = 32> (r1, w2, b2)
            r2 = Clip (c2, zero, six)
            y = Conv (r2, w3, b3)
        }""",
        {"w1": (32, 8, 1, 1), "b1": (32,), "w2": (32, 1, 3, 3), "b2": (32,), "w3": (8, 32, 1, 1), "b3": (8,)},
    ),
    "gemm": (
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,12] x) => (float[batch,4] y) {
            g1 = Gemm <transB = 1> (x, w1, b1)
            r1 = Relu (g1)
            y = Gemm <transB = 1> (r1, w2, b2)
        }""",
        {"w1": (24, 12), "b1": (24,), "w2": (4, 24), "b2": (4,)},
    ),
    "matmul": (
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,6,12] x) => (float[batch,6,12] y) {
            m1 = MatMul (x, w1)
            a1 = Add (m1, b1)
            r1 = Relu (a1)
            m2 = MatMul (r1, w2)
            y = Add (m2, x)
        }""",
        {"w1": (12, 48), "b1": (48,), "w2": (48, 12)},
    ),
}  # fmt: skip

# Share of the nearest rounding's error that may be left; filters of nine weights leave little to choose.
MOST = {"residual": 0.5, "depthwise": 0.95, "gemm": 0.8, "matmul": 0.97}


@pytest.fixture(scope="module")
def reconstruct(quantizers):
    return quantizers("quantize.reconstruct")


@pytest.fixture
def network(graph_from):
    def build(name: str) -> ModelGraph:
        text, shapes = GRAPHS[name]
        bounds = {"zero": np.float32(0), "six": np.float32(6)} if name == "depthwise" else {}
        return graph_from(text, {**weights(shapes), **{key: np.array(value) for key, value in bounds.items()}})

    return build


def samples(graph: ModelGraph, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return inputs whose features go together, as those of images do."""
    rng = np.random.default_rng(seed)
    (info,) = graph.inputs
    shape = tuple(size for size in info.shape[1:] if isinstance(size, int))
    basis = np.random.default_rng(99).standard_normal((6, *shape)) / 2
    noise = rng.standard_normal((count, *shape)) * 0.2
    return {info.name: (np.tensordot(rng.standard_normal((count, 6)), basis, 1) + noise + 0.5).astype(np.float32)}


def tools_for(quantizer, graph, inputs=None, **extra):
    return replace(quantizer.tools(graph, inputs or samples(graph, 64, 1), **extra), training=TorchEngine(1))


def error(graph: ModelGraph, quantized: ModelGraph, inputs) -> float:
    (name,) = [info.name for info in graph.outputs]
    exact = open_session(graph, threads=1).run(inputs)[name]
    return float(np.square(open_session(quantized, threads=1).run(inputs)[name] - exact).mean())


@pytest.mark.parametrize("plan", [W4A8, W4A4], ids=["w4a8", "w4a4"])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_deployed_file_errs_less_on_samples_it_has_not_seen(reconstruct, quantize, network, name, plan):
    graph = network(name)
    tools = tools_for(reconstruct, graph)
    nearest = quantize(graph, plan, tools=tools, calibration_samples=64, bias_correction=False).graph
    learned = reconstruct(graph, plan, tools=tools, **QUICK).graph
    unseen = samples(graph, 128, 2)
    assert error(graph, learned, unseen) < MOST[name] * error(graph, nearest, unseen)


@pytest.mark.parametrize("unit", ["layer", "block"])
def test_the_runtime_computes_what_torch_does(reconstruct, network, unit):
    graph = network("residual")
    result = reconstruct(graph, W4A4, tools=tools_for(reconstruct, graph), unit=unit, **QUICK)
    inputs = samples(graph, 16, 5)
    wanted = TorchEngine(1).run(result.graph, inputs)["y"]
    found = open_session(result.graph, threads=1, optimize=False).run(inputs)["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert f"{unit}s" in result.notes[-1]
    assert all(after <= before for before, after in result.details["errors"].values())


def test_the_same_recipe_gives_the_same_bytes(reconstruct, network):
    graph = network("residual")
    options = {**QUICK, "iterations": 12}
    first = reconstruct(graph, W4A4, tools=tools_for(reconstruct, graph), **options)
    again = reconstruct(graph, W4A4, tools=tools_for(reconstruct, graph), **options)
    assert first.graph.to_bytes() == again.graph.to_bytes()


def test_weights_stay_beside_their_values_and_zeros_stay_zero(reconstruct, graph_from):
    text, shapes = GRAPHS["gemm"]
    arrays = weights(shapes)
    arrays["w1"][::2] = 0.0
    graph = graph_from(text, arrays)
    result = reconstruct(graph, W4A8, tools=tools_for(reconstruct, graph), **QUICK).graph
    for name in ("w1", "w2"):
        node = result.producer(name)
        integers, scales = (result.constant(value) for value in node.inputs[:2])
        level = arrays[name] / scales.reshape(-1, 1)
        assert np.abs(integers - np.clip(level, -8, 7)).max() < 1.0
        assert not integers[arrays[name] == 0].any()


def test_scales_are_learned_below_8_bits_only(reconstruct, network):
    graph = network("residual")
    assert " 0 activation scales" in reconstruct(graph, W4A8, tools=tools_for(reconstruct, graph), **QUICK).notes[-1]
    result = reconstruct(graph, W4A4, tools=tools_for(reconstruct, graph), **QUICK)
    assert " 0 activation scales" not in result.notes[-1]
    kept = reconstruct(graph, W4A4, tools=tools_for(reconstruct, graph), scale_learning_rate=0, **QUICK)
    assert " 0 activation scales" in kept.notes[-1]


def test_activations_may_stay_exact_now_and_then(reconstruct, quantize, network):
    graph = network("residual")
    tools = tools_for(reconstruct, graph)
    dropped, always = (reconstruct(graph, W4A4, tools=tools, drop=drop, **QUICK).graph for drop in (0.5, 0.0))
    assert dropped.to_bytes() != always.to_bytes()
    unseen = samples(graph, 128, 2)
    nearest = quantize(graph, W4A4, tools=tools, calibration_samples=64, bias_correction=False).graph
    assert error(graph, dropped, unseen) < 0.8 * error(graph, nearest, unseen)


def test_8_bits_need_no_learning(reconstruct, quantize, network):
    graph = network("residual")
    plan = {"weight_bits": 8, "activation_bits": 8}
    result = reconstruct(graph, plan, tools=tools_for(reconstruct, graph), **QUICK)
    assert "nothing to learn" in result.notes[-1]
    nearest = quantize(graph, plan, tools=tools_for(reconstruct, graph), calibration_samples=64)
    assert result.graph.to_bytes() == nearest.graph.to_bytes()


def test_small_storage_holds_what_was_learned(reconstruct, network):
    graph = network("gemm")
    tools = tools_for(reconstruct, graph)
    fast, small = (reconstruct(graph, W4A8, tools=tools, storage=storage, **QUICK) for storage in ("fast", "small"))
    inputs = samples(graph, 16, 5)
    assert error(fast.graph, small.graph, inputs) < 1e-8
    assert small.details["errors"] == fast.details["errors"]


def test_cancelling_stops_within_a_step(reconstruct, network):
    graph = network("residual")
    cancel = CancelToken()
    seen: list[str] = []

    def stop(fraction: float, text: str) -> None:
        seen.append(text)
        if "step 3 of" in text:
            cancel.cancel()

    tools = tools_for(reconstruct, graph, progress=Progress(stop), cancel=cancel)
    with pytest.raises(CancelledError):
        reconstruct(graph, W4A8, tools=tools, **QUICK)
    assert "step 3 of" in seen[-1]


def test_progress_only_grows_and_ends_at_one(reconstruct, network):
    graph = network("gemm")
    seen: list[float] = []
    tools = tools_for(reconstruct, graph, progress=Progress(lambda fraction, text: seen.append(fraction)))
    reconstruct(graph, W4A8, tools=tools, **QUICK)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_it_needs_samples_and_gradients_but_no_labels(reconstruct, network):
    graph = network("gemm")
    method = reconstruct.method(reconstruct.method.Parameters())
    assert method.requirements(graph) == {Requirement.DATA, Requirement.GRADIENTS}
    with pytest.raises(DataError, match="names no data"):
        reconstruct(graph, {"weight_bits": 4, "activation_bits": 32}, tools=tools_for(reconstruct, graph, data=None))


def test_weights_alone_are_learned_too(reconstruct, quantize, network):
    graph = network("gemm")
    plan = {"weight_bits": 3, "activation_bits": 32}
    tools = tools_for(reconstruct, graph)
    learned = reconstruct(graph, plan, tools=tools, **QUICK).graph
    unseen = samples(graph, 128, 2)
    nearest = quantize(graph, plan, tools=tools, bias_correction=False).graph
    assert error(graph, learned, unseen) < 0.8 * error(graph, nearest, unseen)


def test_scales_are_learned_where_weights_keep_8_bits(reconstruct, quantize, network):
    graph = network("residual")
    plan = {"weight_bits": 8, "activation_bits": 3}
    tools = tools_for(reconstruct, graph)
    learned = reconstruct(graph, plan, tools=tools, drop=0, scale_learning_rate=0.01, **QUICK)
    unseen = samples(graph, 128, 2)
    nearest = quantize(graph, plan, tools=tools, calibration_samples=64, bias_correction=False).graph
    assert " 0 activation scales" not in learned.notes[-1]
    assert error(graph, learned.graph, unseen) < error(graph, nearest, unseen)


def test_a_fixed_batch_size_is_kept(reconstruct, quantize, graph_from):
    text, shapes = GRAPHS["gemm"]
    arrays = weights(shapes)
    fixed = graph_from(text.replace("float[batch,", "float[2,"), arrays)
    tools = tools_for(reconstruct, fixed, samples(fixed, 63, 1))
    learned = reconstruct(fixed, W4A8, tools=tools, **QUICK).graph
    unseen = samples(fixed, 128, 2)
    nearest = quantize(fixed, W4A8, tools=tools, calibration_samples=63).graph
    assert error(fixed, learned, unseen) < 0.9 * error(fixed, nearest, unseen)


def test_values_that_are_not_finite_are_named(reconstruct, network):
    graph = network("gemm")
    broken = {"x": np.full((64, 12), np.nan, np.float32)}
    with pytest.raises(DataError):
        reconstruct(graph, {"weight_bits": 4, "activation_bits": 32}, tools=tools_for(reconstruct, graph, broken))


def test_an_error_that_is_not_finite_is_said(network):
    graph = network("gemm")
    inputs = {"x": np.full((8, 12), 1e30, np.float32)}
    task = RoundingTask(graph, {}, {}, inputs, {"y": np.zeros((8, 4), np.float32)}, 8)
    with pytest.raises(JobError, match="reconstruction"):
        TorchEngine(1).reconstruct(task, RoundingSettings(iterations=1))
