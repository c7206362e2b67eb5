"""What sets the criteria apart: each finds what its paper says, and says before the run where it can't."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.plugins.prune.conftest import Pictures
from workbench.api import LayerSettings, Method, ModelGraph, RecipeError, channel_groups, remove_channels
from workbench.engines.inference_ort.engine import OrtEngine

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
PLAIN = """net (float[batch,3,8,8] x) => (float[batch,4] y) {
    a = Conv (x, w1, b1)
    r = Relu (a)
    p = GlobalAveragePool (r)
    f = Flatten (p)
    y = Gemm <transB = 1> (f, w2)
}"""
Graphs = Callable[..., ModelGraph]


def weights(seed: int = 0, width: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "w1": rng.normal(size=(width, 3, 3, 3)).astype(np.float32) * 0.3,
        "b1": rng.uniform(0, 0.5, width).astype(np.float32),
        "w2": rng.normal(size=(4, width)).astype(np.float32),
    }


def kept(result: object, graph: ModelGraph, name: str = "b1") -> list[int]:
    """Return which channels stayed, recognised by a bias that the method did not change."""
    left = result.graph.constant(name).tolist()  # type: ignore[attr-defined]
    return [graph.constant(name).tolist().index(value) for value in left]


def test_the_filter_amid_the_others_goes(
    methods: dict[str, type[Method]], graph_from: Graphs, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    arrays = weights()
    arrays["w1"][5] = arrays["w1"][[0, 1, 2, 3, 4, 6, 7]].mean(axis=0)
    graph = graph_from(HEADER + PLAIN, arrays)
    method = methods["prune.geometric_median"]
    result = method(method.Parameters(restore_batch_norm=False)).apply(graph, plan_of(graph, 0.125), tools_for(graph))
    assert kept(result, graph) == [0, 1, 2, 3, 4, 6, 7]


def test_maps_of_low_rank_go(
    methods: dict[str, type[Method]], graph_from: Graphs, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    arrays = weights()
    arrays["w1"][[2, 6]] = 0.0
    arrays["b1"][[2, 6]] = (5.0, 6.0)
    graph = graph_from(HEADER + PLAIN, arrays)
    for name in ("prune.feature_rank", "prune.bn_scale"):
        parameters = methods[name].Parameters(**({"samples": 16} if name != "prune.bn_scale" else {}))
        result = methods[name](parameters).apply(graph, plan_of(graph, 0.25), tools_for(graph))
        widths = result.graph.constant(result.graph.node("Conv_0").inputs[1]).shape
        assert widths[0] == 6
        assert (
            not np.isclose(np.abs(result.graph.constant(result.graph.node("Conv_0").inputs[1])), 0).all((1, 2, 3)).any()
        )


def test_channels_that_are_mostly_off_go(
    methods: dict[str, type[Method]], graph_from: Graphs, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    arrays = weights()
    arrays["b1"][[1, 4]] = (-3.0, -3.1)
    graph = graph_from(HEADER + PLAIN, arrays)
    method = methods["prune.apoz"]
    parameters = method.Parameters(restore_batch_norm=False, samples=32)
    result = method(parameters).apply(graph, plan_of(graph, 0.25), tools_for(graph))
    assert kept(result, graph) == [0, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("name", ["prune.taylor", "prune.fisher", "prune.obd"])
def test_the_channel_that_the_loss_needs_least_goes(
    methods: dict[str, type[Method]],
    graph_from: Graphs,
    plan_of: Callable[..., LayerSettings],
    tools_for: Callable,
    name: str,
) -> None:
    arrays = weights(3)
    arrays["w2"][:, 3] = 2.0  # the same for all classes: large, and of no use
    graph = graph_from(HEADER + PLAIN, arrays)
    parameters = methods[name].Parameters(restore_batch_norm=False, samples=64)
    result = methods[name](parameters).apply(graph, plan_of(graph, 0.125), tools_for(graph))
    assert kept(result, graph) == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("name", ["prune.obs", "prune.lasso"])
def test_what_others_can_stand_in_for_goes_and_is_made_up_for(
    methods: dict[str, type[Method]],
    graph_from: Graphs,
    plan_of: Callable[..., LayerSettings],
    tools_for: Callable,
    name: str,
) -> None:
    arrays = weights(5)
    arrays["w1"][6], arrays["b1"][6] = 1.5 * arrays["w1"][2], 1.5 * arrays["b1"][2]
    arrays["w2"][:, 6] = arrays["w2"][:, 2]
    graph = graph_from(HEADER + PLAIN, arrays)
    plan, data = plan_of(graph, 0.125), Pictures(graph)
    method = methods[name]
    result = method(method.Parameters(restore_batch_norm=False)).apply(graph, plan, tools_for(graph, data=data))
    (gone,) = set(range(8)) - set(kept(result, graph))
    assert gone in (2, 6)
    images = next(data.calibration(32)).inputs
    (group,) = (group for group in channel_groups(graph) if group.prunable)
    outputs = [
        OrtEngine(threads=1).open(each).run(images)["y"]
        for each in (graph, result.graph, remove_channels(graph, {group.id: (gone,)}))
    ]
    errors = [np.abs(each - outputs[0]).mean() for each in outputs[1:]]
    assert errors[0] < 0.02 * errors[1]


@pytest.mark.parametrize("restore", [False, True])
def test_any_criterion_can_have_the_rest_reconstructed(
    methods: dict[str, type[Method]],
    small_cnn: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    tools_for: Callable,
    restore: bool,
) -> None:
    method, data = methods["prune.l1"], Pictures(small_cnn)
    images = next(data.calibration(64)).inputs
    before = OrtEngine(threads=1).open(small_cnn).run(images)["y"]
    errors = {}
    for reconstruct in (False, True):
        parameters = method.Parameters(reconstruct=reconstruct, restore_batch_norm=restore, statistics_samples=0)
        result = method(parameters).apply(small_cnn, plan_of(small_cnn, 0.5), tools_for(small_cnn, data=data))
        after = OrtEngine(threads=1).open(result.graph).run(images)["y"]
        errors[reconstruct] = float(np.square(after - before).mean())
    assert errors[True] < 0.5 * errors[False]
    assert any("reconstructed by least squares" in note for note in result.notes)


@pytest.mark.parametrize(
    "attributes",
    [
        "pads = [1, 1, 1, 1]",
        'auto_pad = "SAME_UPPER", strides = [2, 2]',
        'auto_pad = "SAME_LOWER", strides = [2, 2]',
        'auto_pad = "VALID", dilations = [2, 1]',
    ],
)
def test_moments_are_those_of_what_a_convolution_multiplies(
    methods: dict[str, type[Method]],
    graph_from: Graphs,
    plan_of: Callable[..., LayerSettings],
    tools_for: Callable,
    attributes: str,
) -> None:
    rng = np.random.default_rng(1)
    arrays = weights(2) | {"w3": rng.normal(size=(8, 8, 3, 3)).astype(np.float32), "b3": np.ones(8, np.float32)}
    arrays["w1"][[2, 5]] *= 1e-4
    arrays["w3"][:, [2, 5]] *= 1e-4
    text = PLAIN.replace("p = Glob", f"c = Conv <{attributes}> (r, w3, b3)\n    p = Glob").replace(
        "Pool (r)", "Pool (c)"
    )
    graph = graph_from(HEADER + text, arrays)
    method = methods["prune.obs"]
    plan = plan_of(graph, 0.0, {"Conv_0": 0.25})
    result = method(method.Parameters(restore_batch_norm=False)).apply(graph, plan, tools_for(graph))
    assert kept(result, graph) == [0, 1, 3, 4, 6, 7]
    images = next(Pictures(graph).calibration(8)).inputs
    outputs = [OrtEngine(threads=1).open(each).run(images)["y"] for each in (graph, result.graph)]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-2, atol=1e-2)


def test_without_batch_norm_its_scale_is_refused(
    methods: dict[str, type[Method]], graph_from: Graphs, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    graph = graph_from(HEADER + PLAIN, weights())
    method = methods["prune.bn_scale"]
    never = method(method.Parameters(restore_batch_norm=False))
    with pytest.raises(RecipeError, match=r"Conv_0 has no batch norm.*Choose another criterion"):
        never.check(graph, plan_of(graph, 0.5))
    measured = method(method.Parameters())
    assert measured.check(graph, plan_of(graph, 0.5)) == ("Not pruned: Gemm_4 (reaches graph output 'y').",)
    assert "data" in measured.requirements(graph)
    with pytest.raises(RecipeError, match="could not be given back"):
        measured.apply(graph, plan_of(graph, 0.5), tools_for(graph, data=None))


def test_batch_norm_in_the_file_is_read_without_data(
    methods: dict[str, type[Method]], graph_from: Graphs, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    scale = np.array([1, -0.01, 1, 0.02, 1, -1, 1, 1], np.float32)
    arrays = weights() | {"s": scale, "v": np.ones(8, np.float32), "m": np.zeros(8, np.float32)}
    text = PLAIN.replace("r = Relu (a)", "n = BatchNormalization (a, s, b1, m, v)\n    r = Relu (n)")
    graph = graph_from(HEADER + text.replace("Conv (x, w1, b1)", "Conv (x, w1)"), arrays)
    method = methods["prune.bn_scale"]
    assert not method(method.Parameters()).requirements(graph)
    result = method(method.Parameters()).apply(graph, plan_of(graph, 0.25), tools_for(graph, data=None))
    assert kept(result, graph) == [0, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("name", ["prune.l1", "prune.l2"])
def test_in_front_of_batch_norm_what_reads_a_channel_counts_too(
    methods: dict[str, type[Method]],
    graph_from: Graphs,
    plan_of: Callable[..., LayerSettings],
    tools_for: Callable,
    name: str,
) -> None:
    arrays = weights() | {"s": np.ones(8, np.float32), "v": np.ones(8, np.float32), "m": np.zeros(8, np.float32)}
    arrays["w1"][:] = arrays["w1"][:1]  # of one length, as trained weights with decay come to be
    arrays["w2"][:] = 1.0
    arrays["w2"][:, [2, 5]] = 0.01
    text = PLAIN.replace("r = Relu (a)", "n = BatchNormalization (a, s, b1, m, v)\n    r = Relu (n)")
    graph = graph_from(HEADER + text.replace("Conv (x, w1, b1)", "Conv (x, w1)"), arrays)
    method = methods[name]
    result = method(method.Parameters()).apply(graph, plan_of(graph, 0.25), tools_for(graph, data=None))
    assert kept(result, graph) == [0, 1, 3, 4, 6, 7]


def test_vectors_have_no_rank_and_integers_no_gradient(
    methods: dict[str, type[Method]], graph_from: Graphs, plan_of: Callable[..., LayerSettings]
) -> None:
    rng = np.random.default_rng(0)
    arrays = {"w1": rng.normal(size=(12, 8)).astype(np.float32), "w2": rng.normal(size=(8, 4)).astype(np.float32)}
    text = HEADER + "net (float[n,12] x) => (float[n,4] y) { a = MatMul (x, w1) r = %s y = MatMul (s, w2) }"
    vectors = graph_from(text % "Relu (a) s = Identity (r)", arrays)
    rank = methods["prune.feature_rank"](methods["prune.feature_rank"].Parameters())
    with pytest.raises(RecipeError, match=r"what layer MatMul_0 makes are vectors, which have no rank"):
        rank.check(vectors, plan_of(vectors, 0.5))
    taylor = methods["prune.taylor"](methods["prune.taylor"].Parameters())
    taylor.check(vectors, plan_of(vectors, 0.5))
    text = HEADER + "net (float[n,12] x) => (float[n,8] y) { a = MatMul (x, w1) r = MatMul (a, w2) y = Sign (r) }"
    signs = graph_from(text.replace("float[n,8] y", "float[n,4] y"), arrays)
    with pytest.raises(RecipeError, match=r"'MatMul_0'.*Sign \(node 'Sign_2'\) has no gradient"):
        taylor.check(signs, plan_of(signs, 0.5))


def test_missing_labels_are_named(
    methods: dict[str, type[Method]], small_cnn: ModelGraph, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    blind, plan = Pictures(small_cnn, labels=False), plan_of(small_cnn, 0.5)
    with pytest.raises(Exception, match="labels"):
        methods["prune.taylor"](methods["prune.taylor"].Parameters()).apply(
            small_cnn, plan, tools_for(small_cnn, data=blind)
        )
    assert "labels" in methods["prune.taylor"](methods["prune.taylor"].Parameters()).requirements(small_cnn)
    curved = methods["prune.obd"](methods["prune.obd"].Parameters(samples=32))
    assert "labels" not in curved.requirements(small_cnn)
    assert curved.apply(small_cnn, plan, tools_for(small_cnn, data=blind)).details["groups"]


def test_coupled_slopes_are_added_before_they_are_squared(
    methods: dict[str, type[Method]], small_cnn: ModelGraph, plan_of: Callable[..., LayerSettings], tools_for: Callable
) -> None:
    plan, edges = plan_of(small_cnn, 0.5), {}
    for reduction in ("sum", "mean"):
        method = methods["prune.fisher"](methods["prune.fisher"].Parameters(reduction=reduction, samples=64))
        (group,) = method.apply(small_cnn, plan, tools_for(small_cnn)).details["groups"].values()
        edges[reduction] = group["importance"]["edges"]
    assert edges["sum"] != edges["mean"]
