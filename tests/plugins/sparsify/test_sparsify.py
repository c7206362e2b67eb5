"""Sparse weights: exact patterns, errors in the published order, honest sizes, and clear refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.sparsify.conftest import Samples, tools
from workbench.api import CancelledError, CancelToken, DataError, ModelGraph, RecipeError, sparsity_of
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.methods.applicability import layer_knobs
from workbench.methods.registry import MethodRegistry
from workbench.methods.surgeon import inverse_root

METHODS = ("prune.magnitude", "prune.wanda", "prune.sparsegpt")


def zeros_in(graph: ModelGraph, weight: str) -> np.ndarray:
    return np.asarray(graph.constant(weight)) == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_masks_keep_to_their_pattern_exactly(module, data) -> None:
    patterns = module("patterns")
    groups, out, inputs, positions = (data.draw(st.integers(1, high)) for high in (3, 3, 3, 5))
    shape = (groups, 4 * out, 4 * inputs * positions)
    share = data.draw(st.floats(0, 0.95))
    comparison = data.draw(st.sampled_from(["layer", "output"]))
    scores = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 6, shape).astype(float)
    gone = patterns.zeros(scores, patterns.Target("unstructured", share), comparison)
    count = int(share * gone.size + 1e-6)
    assert gone.sum() == count
    if comparison == "layer" and count:
        assert scores[gone].max() <= scores[~gone].min()
    else:
        assert np.ptp(gone.sum(axis=2)) <= 1
    for pattern, kept in (("2:4", 2), ("1:4", 1)):
        gone = patterns.zeros(scores, patterns.Target(pattern, 1 - kept / 4), comparison)
        assert (gone.reshape(-1, 4).sum(axis=1) == 4 - kept).all()
    gone = patterns.zeros(scores, patterns.Target("block", share), comparison)
    blocks = gone.reshape(groups * out, 4, -1)
    assert (blocks == blocks[:, :1]).all()
    assert blocks[:, 0].sum() == int(share * blocks[:, 0].size + 1e-6)


@pytest.mark.parametrize("layer", ["stem", "deep", "wise", "back", "up", "down", "head"])
def test_patches_times_matrices_is_what_the_layer_computes(module, cnn, mlp, layer) -> None:
    graph = mlp if layer in ("up", "down", "head") else cnn
    node = graph.node(layer)
    layout = module("layout").Layout.of(graph, node)
    weight = graph.constant(node.inputs[1])
    assert (layout.stored(layout.matrices(weight)) == weight).all()
    shape = tuple(size for size in graph.inputs[0].shape if isinstance(size, int))
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    values = [name for name in (node.inputs[0], node.outputs[0]) if name != "x"]
    found = {"x": x, **OrtEngine(threads=1).open(graph.with_outputs(values)).run({"x": x})}
    expected = found[node.outputs[0]]
    if len(node.inputs) > 2:
        bias = graph.constant(node.inputs[2])
        expected = expected - bias.reshape(-1, *[1] * (expected.ndim - 2))
    (patches,) = module("patches").Patches(node, layout).of(found[node.inputs[0]])
    made = patches @ layout.matrices(weight).transpose(0, 2, 1)
    channels = np.moveaxis(expected, 1, -1).reshape(-1, layout.groups, layout.outputs).transpose(1, 0, 2)
    assert np.abs(made - channels).max() < 1e-5


@pytest.mark.parametrize("id", METHODS)
@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "1:4", "block"])
def test_every_method_makes_every_pattern(bench, cnn, mlp, id, pattern) -> None:
    wanted = {"sparsity_pattern": pattern}
    if pattern in ("unstructured", "block"):
        wanted["sparsity"] = 0.5
    for graph, count in ((cnn, 4 if pattern == "unstructured" else 2), (mlp, 3)):
        result = bench.applied(id, graph, bench.plan(graph, wanted))
        layers = result.details["layers"]
        # The stem reads 3 channels, the depthwise layer 1 and makes 1: neither N:M nor blocks fit there.
        assert len(layers) == count + (pattern == "block" and graph is cnn)
        for name, entry in layers.items():
            node = result.graph.node(name)
            zeros = zeros_in(result.graph, node.inputs[1])
            share = {"2:4": 0.5, "1:4": 0.75}.get(pattern, 0.5)
            assert zeros.sum() == entry["zeros"] == int(share * zeros.size)
            assert sparsity_of(node).pattern == pattern
            assert entry["bitmask_bytes"] < entry["bytes"] == graph.constant_bytes(node.inputs[1])
            assert entry["deflate_bytes"] < entry["bytes"]
        assert "as measured" in result.notes[0]
        assert result.graph.weight_bytes == graph.weight_bytes


def test_two_of_four_lie_along_input_channels(bench, cnn, mlp) -> None:
    plan = {"sparsity_pattern": "2:4"}
    graph = bench.applied("prune.magnitude", cnn, bench.plan(cnn, plan)).graph
    assert (zeros_in(graph, "w2").sum(axis=1) == 2).all()
    assert (zeros_in(graph, "w4").reshape(2, 4, 8, 3, 3).sum(axis=1) == 2).all()
    graph = bench.applied("prune.magnitude", mlp, bench.plan(mlp, plan)).graph
    assert (zeros_in(graph, "w1").reshape(8, 4, 48).sum(axis=1) == 2).all()
    assert (zeros_in(graph, "w2").reshape(20, 12, 4).sum(axis=2) == 2).all()


@pytest.mark.parametrize("wanted", [{"sparsity": 0.6}, {"sparsity_pattern": "2:4"}])
def test_the_more_is_known_the_smaller_the_error(bench, mlp, wanted) -> None:
    plan = bench.plan(mlp, {}, up=wanted)
    magnitude, wanda, sparsegpt = (bench.error(mlp, bench.applied(id, mlp, plan)) for id in METHODS)
    assert sparsegpt < wanda < magnitude


def test_errors_fall_on_convolutions_too(bench, cnn) -> None:
    plan = bench.plan(cnn, {"sparsity": 0.5})
    magnitude = bench.error(cnn, bench.applied("prune.magnitude", cnn, plan))
    matched, sparse, dense = (
        bench.error(cnn, bench.applied("prune.sparsegpt", cnn, plan, inputs=inputs))
        for inputs in ("matched", "sparse", "dense")
    )
    assert matched < min(sparse, dense)
    assert max(sparse, dense) < magnitude


def test_what_stays_makes_up_for_a_zero_as_well_as_it_can(module) -> None:
    surgeon, patterns = module("surgeon"), module("patterns")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 8))
    weight = rng.normal(size=(3, 8))
    weight[:, 0] *= 1e-3
    root = inverse_root(x.T @ x / len(x), 1e-9)
    after = surgeon.make_sparse(weight, root, patterns.Target("unstructured", 1 / 8), 3, 8, lambda: None)
    best = np.linalg.lstsq(x[:, 1:], x @ weight.T, rcond=None)[0].T
    assert (after[:, 0] == 0).all()
    assert np.abs(after[:, 1:] - best).max() < 1e-6


def test_the_bias_takes_up_the_mean(bench, mlp) -> None:
    plan = bench.plan(mlp, {}, up={"sparsity": 0.8}, down={"sparsity": 0.8})
    without, updated = (
        bench.error(mlp, bench.applied("prune.sparsegpt", mlp, plan, update_bias=update)) for update in (False, True)
    )
    assert updated < without
    result = bench.applied("prune.sparsegpt", mlp, plan)
    assert any("Biases of 2 layers" in note for note in result.notes)
    assert 0 < result.details["layers"]["up"]["output_error"] < 1


@pytest.mark.parametrize("id", METHODS)
def test_same_input_same_bytes(bench, mlp, id) -> None:
    plan = bench.plan(mlp, {"sparsity": 0.7})
    before = mlp.to_bytes()
    first, second = (bench.applied(id, mlp, plan).graph.to_bytes() for _ in range(2))
    assert first == second
    assert mlp.to_bytes() == before


def test_settings_of_a_special_place_win(bench, mlp) -> None:
    general = {"sparsity": 0.9, "sparsity_pattern": "1:4"}
    plan = bench.plan(
        mlp,
        {"sparsity_pattern": "2:4"},
        up={"sparsity": 0.0},
        down={"sparsity_pattern": "unstructured", "sparsity": 0.25},
        head={"sparsity": 0.5},
    )
    layers = bench.applied("prune.magnitude", mlp, plan).details["layers"]
    assert {name: (entry["pattern"], entry["zero_share"]) for name, entry in layers.items()} == {
        "down": ("unstructured", 0.25),
        "head": ("2:4", 0.5),
    }
    with pytest.raises(RecipeError, match=r"layer 'up'.*sparsity 0\.9 contradicts sparsity_pattern '1:4'"):
        bench.applied("prune.magnitude", mlp, bench.plan(mlp, {}, up=general))
    with pytest.raises(RecipeError, match=r"layer 'up'.*contradicts"):
        bench.applied("prune.magnitude", mlp, bench.plan(mlp, general))


def test_what_does_not_fit_is_named(bench, cnn) -> None:
    with pytest.raises(RecipeError, match=r"layer 'stem'.*3 input channels are no whole multiple of 4"):
        bench.applied("prune.wanda", cnn, bench.plan(cnn, {}, stem={"sparsity_pattern": "2:4"}))
    line = {"sparsity_pattern": "block", "sparsity": 0.5}
    with pytest.raises(RecipeError, match=r"layer 'wise'.*1 output channels of each group"):
        bench.applied("prune.wanda", cnn, bench.plan(cnn, {}, wise=line))
    notes = bench.applied("prune.magnitude", cnn, bench.plan(cnn, {"sparsity_pattern": "2:4"})).notes
    assert any("Left dense: stem (its 3 input channels" in note for note in notes)


def test_shared_weights_are_set_alike_or_refused(bench, graph_from) -> None:
    rng = np.random.default_rng(0)
    text = """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,8] x) => (float[batch,8] y) {
            [one] a = MatMul (x, w)
            b = Relu (a)
            [two] y = MatMul (b, w)
        }"""
    graph = graph_from(text, {"w": rng.normal(size=(8, 8)).astype(np.float32)})
    result = bench.applied("prune.sparsegpt", graph, bench.plan(graph, {"sparsity": 0.5}))
    assert zeros_in(result.graph, "w").sum() == 32
    assert all(sparsity_of(result.graph.node(name)) for name in ("one", "two"))
    with pytest.raises(RecipeError, match=r"layer 'one'.*shares its weight with 'two'"):
        bench.applied("prune.magnitude", graph, bench.plan(graph, {}, one={"sparsity": 0.5}))


def test_the_user_is_told_before_the_run(bench, mlp) -> None:
    method = bench.methods["prune.magnitude"](bench.methods["prune.magnitude"].Parameters())
    assert "latency usually stays" in " ".join(method.check(mlp, bench.plan(mlp, {"sparsity": 0.5})))
    assert "no weight becomes zero" in " ".join(method.check(mlp, bench.plan(mlp)))


def test_missing_data_and_cancel(bench, mlp) -> None:
    plan = bench.plan(mlp, {"sparsity": 0.5})
    token = CancelToken()
    token.cancel()
    for id in METHODS:
        method = bench.methods[id](bench.methods[id].Parameters())
        with pytest.raises(CancelledError):
            method.apply(mlp, plan, replace(tools(mlp, Samples((32,))), cancel=token))
        if id != "prune.magnitude":
            with pytest.raises(DataError, match="names no data"):
                method.apply(mlp, plan, tools(mlp))


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_weights_keep_their_type(bench, graph_from, kind) -> None:
    name = {np.float16: "float16", np.float64: "double"}[kind]
    text = f"""<ir_version: 9, opset_import: ["" : 17]>
        net ({name}[batch,8] x) => ({name}[batch,12] y) {{ [one] y = MatMul (x, w) }}"""
    graph = graph_from(text, {"w": np.random.default_rng(0).normal(size=(8, 12)).astype(kind)})
    for id in METHODS:
        result = bench.applied(id, graph, bench.plan(graph, {"sparsity": 0.5}))
        assert result.graph.constant("w").dtype == kind
        assert zeros_in(result.graph, "w").sum() == 48


def test_quantized_layers_and_stacked_matrices_are_refused(bench, graph_from) -> None:
    rng = np.random.default_rng(0)
    text = """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,8] x) => (float[2,batch,8] y) {
            w = DequantizeLinear (q, scale)
            [coded] a = MatMul (x, w)
            [stack] y = MatMul (a, v)
        }"""
    arrays = {"q": rng.integers(-9, 9, (8, 8)).astype(np.int8), "scale": np.float32(0.1)}
    graph = graph_from(text, {**arrays, "v": rng.normal(size=(2, 8, 8)).astype(np.float32)})
    for layer, reason in (("coded", "quantized already"), ("stack", "3 dimensions instead of 2")):
        with pytest.raises(RecipeError, match=rf"layer '{layer}'.*{reason}"):
            bench.applied("prune.magnitude", graph, bench.plan(graph, {}, **{layer: {"sparsity": 0.5}}))
    result = bench.applied("prune.magnitude", graph, bench.plan(graph, {"sparsity": 0.5}))
    assert result.graph.to_bytes() == graph.to_bytes()
    assert result.notes[0] == "No weight was set to zero."


def test_the_knobs_stand_where_a_method_can_turn_them(bench, mlp) -> None:
    known = MethodRegistry()
    for method in bench.methods.values():
        known.register(method, "sparsify")
    assert all(knobs == ("sparsity", "sparsity_pattern") for knobs in layer_knobs(mlp, known).values())


def test_a_go_of_moments_reads_the_dense_model(bench, mlp, monkeypatch) -> None:
    plan = bench.plan(mlp, {"sparsity": 0.5})
    together = bench.applied("prune.sparsegpt", mlp, plan, inputs="dense").graph.to_bytes()
    monkeypatch.setitem(bench.methods["prune.sparsegpt"].sparse.__globals__, "_MOMENT_BYTES", 1)
    assert bench.applied("prune.sparsegpt", mlp, plan, inputs="dense").graph.to_bytes() == together
