"""Weight sharing: few values a layer, stored as codes and a table, in float and below the scales of integers."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.api import RecipeError, Sparsity, UnsupportedGraphError, note_sparsity
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.diff import layer_states
from workbench.graph.layers import layer_nodes
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.storage import open_model
from workbench.graph.weights import weight_values
from workbench.methods.method import MethodResult

IMAGES = np.random.default_rng(5).normal(size=(16, 16, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def network(graph_from):
    """Two convolutions that are large enough for a table to pay."""
    rng = np.random.default_rng(0)
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,16,8,8] x) => (float[batch,5] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
            r2 = Relu (c2)
            p = GlobalAveragePool (r2)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w3, b3)
        }""",
        {
            "w1": rng.normal(size=(32, 16, 3, 3)).astype(np.float32) * 0.1,
            "b1": rng.normal(size=32).astype(np.float32) * 0.1,
            "w2": rng.normal(size=(32, 32, 3, 3)).astype(np.float32) * 0.1,
            "b2": rng.normal(size=32).astype(np.float32) * 0.1,
            "w3": rng.normal(size=(5, 32)).astype(np.float32),
            "b3": rng.normal(size=5).astype(np.float32),
        },
    )


@pytest.fixture
def share(quantizers):
    runner = quantizers("quantize.codebook")
    (knob,) = runner.method.knobs

    def run(graph, bits=4, layers=None, cancel=None, **parameters) -> MethodResult:
        plan = Plan(default={"codebook_bits": bits}, layers=layers or {})
        names = {node.name: ("codebook_bits",) for node, _ in layer_nodes(graph)}
        settings = resolve(plan, names, (*FIRST_PARTY_KNOBS, knob))
        method = runner.method(runner.method.Parameters(**parameters))
        method.check(graph, settings)
        extra = {} if cancel is None else {"cancel": cancel}
        return method.apply(graph, settings, runner.tools(graph, {"x": IMAGES}, **extra))

    return run


def values(graph, name):
    (found,) = [weight_values(graph, weight) for node, weight in layer_nodes(graph) if name in (*node.inputs,)]
    return found


def output(graph):
    return OrtEngine(threads=1).open(graph).run({"x": IMAGES})["y"]


@pytest.mark.parametrize("start", ["spread", "even"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_a_layer_has_no_more_values_than_its_table_and_the_file_is_as_small(share, network, tmp_path, bits, start):
    result = share(network, bits, start=start)
    for name in ("w1", "w2", "w3"):
        assert len(np.unique(values(result.graph, name))) <= 2**bits
    path = tmp_path / "shared.onnx"
    path.write_bytes(result.graph.to_bytes())
    again = open_model(path)
    np.testing.assert_array_equal(output(again), output(result.graph))
    np.testing.assert_allclose(TorchEngine(threads=1).run(again, {"x": IMAGES})["y"], output(again), atol=1e-4)
    container = next(size for size in (2, 4, 8) if size >= bits)
    codes = sum(network.constant(name).size for name in ("w1", "w2", "w3")) * container / 8
    assert codes < path.stat().st_size < codes + 4 * 3 * 2**bits + 3500
    assert {state.bits for state in layer_states(again).values()} == {bits}
    assert packed_size_bytes(again, path.stat().st_size) <= path.stat().st_size


def test_more_levels_are_nearer_and_k_means_beats_even_levels(share, network):
    exact = output(network)
    errors = [np.square(output(share(network, bits).graph) - exact).mean() for bits in (2, 3, 4, 6)]
    assert errors == sorted(errors, reverse=True)
    weight = network.constant("w2")
    even = np.linspace(weight.min(), weight.max(), 8)
    plain = np.abs(weight.reshape(-1, 1) - even).min(1)
    learned = values(share(network, 3).graph, "w2") - weight
    assert np.square(learned).sum() < 0.6 * np.square(plain).sum()


def test_integers_of_a_step_before_stay_integers(share, quantize, network):
    quantized = quantize(
        network, {"weight_bits": 8, "activation_bits": 8}, tools=quantize.tools(network, {"x": IMAGES})
    )
    shared = share(quantized.graph, 4).graph
    assert len(np.unique(shared.constant("w2_quantized_levels"))) <= 16
    unpacking = ("Gather", "Cast")
    operators = [[node.op for node in graph.nodes if node.op not in unpacking] for graph in (quantized.graph, shared)]
    assert operators[0] == operators[1]
    assert len(shared.to_bytes()) < 0.75 * len(quantized.graph.to_bytes())
    error = np.abs(output(shared) - output(network)).max() / np.abs(output(network)).max()
    assert error < 0.3


def test_integers_of_three_bits_in_codes_of_four_are_counted_as_three(share, quantize, network):
    quantized = quantize(
        network, {"weight_bits": 8, "activation_bits": 8}, tools=quantize.tools(network, {"x": IMAGES})
    )
    shared = share(quantized.graph, 3).graph
    size = len(shared.to_bytes())
    # A weight too small to gain from codes stays in 8 bits.
    unused = {weight.name: np.prod(weight.shape) * (weight.bits - 3) / 8 for _, weight in layer_nodes(shared)}
    assert min(unused.values()) > 0
    assert packed_size_bytes(shared, size) == pytest.approx(size - sum(unused.values()), abs=3)
    four = quantize(network, {"weight_bits": 4, "activation_bits": 8}, tools=quantize.tools(network, {"x": IMAGES}))
    # More levels than there are leave the weights at the bits that they had.
    assert {state.bits for state in layer_states(share(four.graph, 6).graph).values()} == {4}


def test_one_layer_alone_and_zeros_that_stay(share, network):
    nodes = {weight.name: node.name for node, weight in layer_nodes(network)}
    alone = share(network, 32, layers={nodes["w2"]: {"codebook_bits": 2}}).graph
    np.testing.assert_array_equal(alone.constant("w1"), network.constant("w1"))
    assert len(np.unique(values(alone, "w2"))) == 4
    weight = network.constant("w2").copy()
    weight[np.abs(weight) < 0.1] = 0
    sparse = note_sparsity(network.with_initializers({"w2": weight}), {nodes["w2"]: Sparsity("unstructured", 0.6)})
    np.testing.assert_array_equal(values(share(sparse, 2).graph, "w2") == 0, weight == 0)


def test_the_same_bytes_again_and_nothing_where_nothing_is_asked(share, network):
    assert share(network, 3).graph.to_bytes() == share(network, 3).graph.to_bytes()
    assert share(network, 32).notes == ("nothing shared",)


def test_constant_and_silent_weights(share, network):
    silent, constant = np.zeros((32, 16, 3, 3), np.float32), np.full((5, 32), 0.5, np.float32)
    flat = network.with_initializers({"w1": silent, "w3": constant})
    graph = share(flat, 4).graph
    assert np.unique(values(graph, "w1")).tolist() == [0]
    assert np.unique(values(graph, "w3")).tolist() == [0.5]


def test_what_cannot_be_shared_is_said(share, network):
    weight = network.constant("w1").copy()
    weight[0, 0] = np.nan
    with pytest.raises(UnsupportedGraphError, match="'w1' holds numbers that are not finite"):
        share(network.with_initializers({"w1": weight}))
    once = share(network, 4).graph
    (name,) = [node.name for node, found in layer_nodes(once) if found.name.startswith("w2")]
    with pytest.raises(RecipeError, match="stored as uint4"):
        share(once, 32, layers={name: {"codebook_bits": 2}})
    cancelled = CancelToken()
    cancelled.cancel()
    with pytest.raises(CancelledError):
        share(network, cancel=cancelled)


def test_a_model_with_codebooks_can_be_turned_back_and_quantized(share, quantizers, quantize, network):
    shared = share(network, 4).graph
    to_float = quantizers("quantize.to_float")
    result = to_float(shared, {}, tools=to_float.tools(shared, {"x": IMAGES}))
    assert "weights of codebooks stored plainly" in result.notes
    assert {weight.dtype for _, weight in layer_nodes(result.graph)} == {"float32"}
    assert {state.bits for state in layer_states(result.graph).values()} == {32}
    np.testing.assert_array_equal(output(result.graph), output(shared))
    bits = {"weight_bits": 8, "activation_bits": 8}
    assert (
        quantize(result.graph, bits, tools=quantize.tools(network, {"x": IMAGES})).graph.constant("w2_quantized")
        is not None
    )


def in_integers(quantize, network):
    bits = {"weight_bits": 8, "activation_bits": 8}
    return quantize(network, bits, tools=quantize.tools(network, {"x": IMAGES})).graph


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("bits", [2, 4])
def test_in_turn_errors_make_up_for_each_other(share, quantize, network, bits, integers):
    graph = in_integers(quantize, network) if integers else network
    nearest, turned = (share(graph, bits, rounding=rounding) for rounding in ("nearest", "gptq"))
    errors = [np.square(output(each.graph) - output(network)).mean() for each in (nearest, turned)]
    assert errors[1] < 0.7 * errors[0]
    for figures in turned.details["output_error"].values():
        assert figures["in_turn"] <= figures["nearest"]
    name = "w2_quantized_levels" if integers else "w2_levels"
    table = turned.graph.constant(name)
    assert table is None or len(np.unique(table)) <= 2**bits
    assert turned.graph.to_bytes() == share(graph, bits, rounding="gptq").graph.to_bytes()


def test_in_turn_zeros_and_padding_stay(share, quantize, graph_from, network):
    weight = network.constant("w2").copy()
    weight[np.abs(weight) < 0.1] = 0
    (layer,) = [node.name for node, found in layer_nodes(network) if found.name == "w2"]
    sparse = note_sparsity(network.with_initializers({"w2": weight}), {layer: Sparsity("unstructured", 0.6)})
    assert not values(share(sparse, 2, rounding="gptq").graph, "w2")[weight == 0].any()
    rng = np.random.default_rng(3)
    narrow = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,16,8,8] x) => (float[batch,32,8,8] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            y = Conv <pads = [1,1,1,1]> (r1, w2, b2)
        }""",
        {
            "w1": rng.normal(size=(11, 16, 3, 3)).astype(np.float32),
            "b1": rng.normal(size=11).astype(np.float32),
            "w2": rng.normal(size=(32, 11, 3, 3)).astype(np.float32),
            "b2": rng.normal(size=32).astype(np.float32),
        },
    )
    padded = in_integers(quantize, narrow)
    for rounding in ("nearest", "gptq"):
        shared = share(padded, 3, rounding=rounding).graph
        for name, axis in (("w1", 0), ("w2", 1)):
            assert padded.constant(f"{name}_quantized").shape[axis] == 16
            assert not np.take(values(shared, name), range(11, 16), axis=axis).any()


def test_few_values_are_kept_as_they_are(share, network):
    weight = np.zeros((32, 32, 3, 3), np.float32)
    weight[np.arange(32), np.arange(32), 1, 1] = 0.25
    graph = share(network.with_initializers({"w2": weight}), 4).graph
    np.testing.assert_array_equal(values(graph, "w2"), weight)


def test_weights_with_zero_points_are_left_alone(share, quantize, network):
    bits = {"weight_bits": 8, "activation_bits": 8}
    tools = quantize.tools(network, {"x": IMAGES})
    graph = quantize(network, bits, tools=tools, weight_scheme="affine").graph
    layers = [node.name for node, _ in layer_nodes(graph)]
    with pytest.raises(RecipeError, match="its integers have zero points"):
        share(graph, 32, layers={layers[1]: {"codebook_bits": 4}})
    assert share(graph, 4).notes == ("nothing shared",)
