"""Low-rank decomposition: exact at full rank, better with rank, honest about what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.method_tools import tools
from tests.fakes.removal import feeds, run
from workbench.api import (
    FACTOR_NOTE,
    RANK_RATIO,
    Batch,
    CancelledError,
    CancelToken,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    RecipeError,
)
from workbench.domain.installation import shipped_folder
from workbench.domain.plan import Plan, resolve
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.diff import layer_changes
from workbench.graph.layers import find_layers
from workbench.graph.storage import open_model
from workbench.methods.applicability import described_layers, layer_knobs
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
MATRICES = ("decompose.svd", "decompose.asvd")
CONVOLUTIONS = ("decompose.channel_svd", "decompose.spatial_svd", "decompose.tucker2", "decompose.cp")
Methods = Mapping[str, type[Method]]


@pytest.fixture(scope="module")
def methods() -> Methods:
    folder = shipped_folder("plugins")
    assert folder is not None
    return {method.id: method for method in load_methods(read_manifest(folder / "decompose", "first-party"))}


@pytest.fixture(scope="module")
def registry(methods: Methods) -> MethodRegistry:
    known = MethodRegistry()
    for method in methods.values():
        known.register(method, "decompose")
    return known


class Samples:
    """Samples of a few directions of different strength and with a mean, as activations have them."""

    task, metric = "regression", "mse"

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        rng = np.random.default_rng(1)
        size = int(np.prod(shape))
        self._shape, self._seed = shape, seed
        self._mix = rng.normal(size=(size, size)) * np.exp(-np.arange(size) / 6)[:, None]
        self._mean = rng.normal(size=size) * 2

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        rng = np.random.default_rng(self._seed)
        for start in range(0, samples, batch_size):
            count = min(batch_size, samples - start)
            rows = rng.normal(size=(count, len(self._mix))) @ self._mix + self._mean
            yield Batch({"x": rows.reshape(count, *self._shape).astype(np.float32)}, None)


def plan(graph: ModelGraph, default: float = 1.0, **lines: float) -> LayerSettings:
    written = Plan(default={"rank_ratio": default}, layers={name: {"rank_ratio": at} for name, at in lines.items()})
    return resolve(written, {layer.name: layer.knobs for layer in find_layers(graph)}, [RANK_RATIO])


@pytest.fixture(scope="module")
def mlp(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    rng = np.random.default_rng(0)
    return graph_from(
        HEADER
        + """net (float[batch,24] x) => (float[batch,10] y) {
            [up] a = MatMul (x, w1)
            [bias] b = Add (a, b1)
            r = Relu (b)
            [down] c = MatMul (r, w2)
            s = Tanh (c)
            [head] y = Gemm <transB = 1> (s, w3, b3)
        }""",
        {
            "w1": (rng.normal(size=(24, 40)) / 5).astype(np.float32),
            "b1": rng.normal(size=40).astype(np.float32),
            "w2": (rng.normal(size=(40, 20)) / 6).astype(np.float32),
            "w3": (rng.normal(size=(10, 20)) / 4).astype(np.float32),
            "b3": rng.normal(size=10).astype(np.float32),
        },
    )


@pytest.fixture(scope="module")
def cnn(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    rng = np.random.default_rng(0)
    norm = {name: rng.uniform(0.5, 1.5, 12).astype(np.float32) for name in ("scale", "shift", "mean", "var")}
    return graph_from(
        HEADER
        + """net (float[batch,4,8,8] x) => (float[batch,6,4,4] y) {
            [c1] a = Conv <pads = [1,1,1,1]> (x, w1, b1)
            [bn] b = BatchNormalization (a, scale, shift, mean, var)
            r = Relu (b)
            [deep] d = Conv <group = 12, pads = [1,1,1,1]> (r, wd)
            [c2] y = Conv <pads = [1,1,1,1], strides = [2,2]> (d, w2)
        }""",
        {
            "w1": rng.normal(size=(12, 4, 3, 3)).astype(np.float32) / 6,
            "b1": rng.normal(size=12).astype(np.float32),
            "wd": rng.normal(size=(12, 1, 3, 3)).astype(np.float32) / 3,
            "w2": rng.normal(size=(6, 12, 3, 3)).astype(np.float32) / 10,
            **norm,
        },
    )


def applied(
    methods: Methods, id: str, graph: ModelGraph, settings: LayerSettings, *, seed: int = 0, **parameters: object
) -> MethodResult:
    method = methods[id](methods[id].Parameters(**parameters))
    method.check(graph, settings)
    shape = tuple(size for size in graph.inputs[0].shape or () if isinstance(size, int))
    return method.apply(graph, settings, tools(graph, Samples(shape, seed)))


def error(graph: ModelGraph, other: ModelGraph) -> float:
    """Return the relative root-mean-square error on samples that were not calibrated on."""
    shape = tuple(size for size in graph.inputs[0].shape or () if isinstance(size, int))
    inputs = next(Samples(shape, seed=9).calibration(64)).inputs
    expected, found = run(graph, inputs)[0], run(other, inputs)[0]
    return float(np.sqrt(((expected - found) ** 2).mean() / expected.var()))


@pytest.mark.parametrize("id", [*MATRICES, *CONVOLUTIONS])
def test_full_rank_is_exact(methods: Methods, mlp: ModelGraph, cnn: ModelGraph, id: str) -> None:
    graph = mlp if id in MATRICES else cnn
    result = applied(methods, id, graph, plan(graph, 0.9999), shrink_only=False)
    expected, found = (run(each, feeds(graph, 0))[0] for each in (graph, result.graph))
    assert np.abs(expected - found).max() <= 1e-4 * np.abs(expected).max()
    assert set(result.details["layers"]) == ({"up", "down", "head"} if id in MATRICES else {"c1", "c2"})


@pytest.mark.parametrize("id", [*MATRICES, *CONVOLUTIONS])
def test_error_falls_with_rank(methods: Methods, mlp: ModelGraph, cnn: ModelGraph, id: str) -> None:
    graph = mlp if id in MATRICES else cnn
    results = [applied(methods, id, graph, plan(graph, at), shrink_only=False) for at in (0.15, 0.4, 0.8)]
    errors = [error(graph, result.graph) for result in results]
    assert errors[0] > errors[1] > errors[2]
    assert all(
        all(0 < entry["energy"] <= 1 + 1e-9 for entry in result.details["layers"].values()) for result in results
    )


@pytest.mark.parametrize("id", [*MATRICES, *CONVOLUTIONS])
def test_names_lead_back_and_torch_runs_it(methods: Methods, mlp: ModelGraph, cnn: ModelGraph, id: str) -> None:
    graph = mlp if id in MATRICES else cnn
    result = applied(methods, id, graph, plan(graph, 0.25))
    assert result.details["layers"]
    assert result.details["weight_params_after"] < result.details["weight_params_before"]
    for name in result.details["layers"]:
        node = result.graph.node(name)
        assert node.outputs == graph.node(name).outputs
        assert result.graph.node(f"{name}~1").metadata[FACTOR_NOTE] == name
    changed = {change.name: change for change in layer_changes(graph, result.graph)}
    assert all(change.after is not None for change in changed.values())
    inputs = feeds(graph, 0)
    trained = TorchEngine(threads=1).run(result.graph, inputs)["y"]
    deployed = run(result.graph, inputs)[0]
    assert np.abs(trained - deployed).max() <= 1e-4 * np.abs(deployed).max()


def test_calibration_beats_weights_alone(methods: Methods, mlp: ModelGraph) -> None:
    plain, aware = (error(mlp, applied(methods, id, mlp, plan(mlp, 0.25)).graph) for id in MATRICES)
    assert aware < 0.5 * plain


@pytest.mark.parametrize("id", ["decompose.spatial_svd", "decompose.tucker2", "decompose.cp"])
@pytest.mark.parametrize(
    "attributes",
    [
        "<pads = [1,0,2,1], strides = [2,1], dilations = [1,2]>",
        '<auto_pad = "SAME_LOWER", strides = [2,2]>',
        '<auto_pad = "VALID">',
    ],
)
def test_the_mean_of_every_channel_is_kept(
    methods: Methods, graph_from: Callable[..., ModelGraph], id: str, attributes: str
) -> None:
    graph = graph_from(
        f"{HEADER} net (float[batch,4,8,9] x) => (float[batch,6,m,n] y) {{ [c] y = Conv {attributes} (x, w, b) }}",
        {"w": np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32), "b": np.ones(6, np.float32)},
    )
    inputs = {"x": np.concatenate([batch.inputs["x"] for batch in Samples((4, 8, 9)).calibration(64)])}
    means = [
        run(applied(methods, id, graph, plan(graph, 0.2), mean_samples=samples).graph, inputs)[0].mean(axis=(0, 2, 3))
        for samples in (64, 0)
    ]
    expected = run(graph, inputs)[0].mean(axis=(0, 2, 3))
    assert np.allclose(means[0], expected, atol=1e-4)
    assert not np.allclose(means[1], expected, atol=1e-2)


def test_one_step_takes_both_kinds(methods: Methods, cnn: ModelGraph, mlp: ModelGraph) -> None:
    for graph, own in ((mlp, "decompose.asvd"), (cnn, "decompose.channel_svd")):
        both = applied(methods, "decompose.auto", graph, plan(graph, 0.25))
        assert both.graph.to_bytes() == applied(methods, own, graph, plan(graph, 0.25)).graph.to_bytes()


def test_energy_chooses_each_rank(methods: Methods, mlp: ModelGraph) -> None:
    result = applied(methods, "decompose.svd", mlp, plan(mlp, 1.0, down=0.3), energy=0.6, shrink_only=False)
    layers = result.details["layers"]
    assert layers["down"]["ranks"][0] <= 6
    assert all(entry["energy"] >= 0.6 for name, entry in layers.items() if name != "down")
    ranks = {name: entry["ranks"][0] / entry["full_ranks"][0] for name, entry in layers.items()}
    assert len({round(share, 3) for share in ranks.values()}) > 1
    pinned = applied(methods, "decompose.svd", mlp, plan(mlp, 1.0, head=1.0), energy=0.6, shrink_only=False)
    assert set(pinned.details["layers"]) == {"up", "down"}


@pytest.mark.parametrize("id", CONVOLUTIONS)
def test_energy_of_convolutions(methods: Methods, cnn: ModelGraph, id: str) -> None:
    low, high = (
        applied(methods, id, cnn, plan(cnn), energy=at, shrink_only=False).details["layers"]["c1"] for at in (0.5, 0.9)
    )
    assert sum(low["ranks"]) < sum(high["ranks"]) <= sum(high["full_ranks"])
    if id != "decompose.tucker2":
        assert high["energy"] >= 0.9


@pytest.mark.parametrize(("ratio", "multiple", "rank"), [(0.3, 1, 6), (0.3, 4, 8), (0.05, 8, 8), (0.0, 1, 1)])
def test_ranks_are_rounded(methods: Methods, mlp: ModelGraph, ratio: float, multiple: int, rank: int) -> None:
    settings = plan(mlp, 1.0, down=ratio)
    result = applied(methods, "decompose.svd", mlp, settings, rank_multiple=multiple)
    assert result.details["layers"]["down"]["ranks"] == [rank]
    assert result.graph.constant_shape(result.graph.node("down").inputs[1]) == (rank, 20)


def test_layers_that_would_not_shrink_stay(methods: Methods, mlp: ModelGraph) -> None:
    result = applied(methods, "decompose.svd", mlp, plan(mlp, 1.0, up=0.9, down=0.2))
    assert set(result.details["layers"]) == {"down"}
    assert any("would not be smaller: up (rank 22 of 24)" in note for note in result.notes)
    untouched = applied(methods, "decompose.svd", mlp, plan(mlp, 0.95))
    assert untouched.graph is mlp
    assert untouched.notes[0] == "No layer was factorised."


def test_what_can_not_be_honoured_is_refused(methods: Methods, cnn: ModelGraph, mlp: ModelGraph) -> None:
    method = methods["decompose.tucker2"](methods["decompose.tucker2"].Parameters())
    with pytest.raises(RecipeError, match=r"layer 'deep': rank_ratio 0.5 can't be honoured: it is a grouped convolut"):
        method.check(cnn, plan(cnn, 1.0, deep=0.5))
    assert any("Not factorised: deep (it is a grouped" in note for note in method.check(cnn, plan(cnn, 0.5)))
    assert any("nothing is factorised" in note for note in method.check(cnn, plan(cnn)))
    assert method.check(mlp, plan(mlp, 1.0, up=0.5))[0] == "Not factorised: up (decompose.tucker2 factorises Conv)."


def test_the_knob_stands_where_some_method_can_turn_it(registry: MethodRegistry, cnn: ModelGraph) -> None:
    offered = {layer.name: "rank_ratio" in layer.knobs for layer in described_layers(cnn, registry)}
    assert offered == {"c1": True, "deep": False, "c2": True}


def test_an_earlier_steps_factors_are_left_alone(methods: Methods, mlp: ModelGraph) -> None:
    settings = plan(mlp, 0.25)
    first = applied(methods, "decompose.svd", mlp, settings).graph
    again = methods["decompose.svd"](methods["decompose.svd"].Parameters())
    result = again.apply(first, settings, tools(mlp))
    assert result.graph is first
    assert any("an earlier step factorised them" in note for note in result.notes)


def test_cancel_ends_it(methods: Methods, mlp: ModelGraph) -> None:
    token = CancelToken()
    token.cancel()
    method = methods["decompose.svd"](methods["decompose.svd"].Parameters())
    with pytest.raises(CancelledError):
        method.apply(mlp, plan(mlp, 0.25), replace(tools(mlp), cancel=token))


def test_real_networks_hold(methods: Methods, registry: MethodRegistry, shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / "bert_toy_optimized.onnx")
    settings = resolve(Plan(default={"rank_ratio": 0.25}), layer_knobs(graph, registry), registry.knobs)
    method = methods["decompose.svd"](methods["decompose.svd"].Parameters())
    result = method.apply(graph, settings, tools(graph))
    assert len(result.details["layers"]) >= 30
    inputs = feeds(graph, 0, open_size=8)
    assert [array.shape for array in run(result.graph, inputs)] == [array.shape for array in run(graph, inputs)]
    for name in ("resnet20_cifar10_bnclean", "resnet20_cifar10_folded"):
        graph = open_model(shared / "data" / "models" / f"{name}.onnx")
        settings = resolve(Plan(default={"rank_ratio": 0.3}), layer_knobs(graph, registry), registry.knobs)
        for id in ("decompose.spatial_svd", "decompose.tucker2"):
            result = methods[id](methods[id].Parameters()).apply(graph, settings, tools(graph))
            assert len(result.details["layers"]) >= 18
            assert np.isfinite(run(result.graph, feeds(graph, 0))[0]).all()
