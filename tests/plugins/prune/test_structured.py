"""Structured pruning: which ratio a group gets, which channels go, and what the report says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.removal import feeds, run
from workbench.api import (
    PRUNE_RATIO,
    Batch,
    CancelledError,
    CancelToken,
    LayerSettings,
    Method,
    ModelGraph,
    RecipeError,
    Tools,
    channel_groups,
)
from workbench.domain.installation import shipped_folder
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.layers import find_layers
from workbench.graph.storage import open_model
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


@pytest.fixture(scope="module")
def methods() -> dict[str, type[Method]]:
    folder = shipped_folder("plugins")
    assert folder is not None
    return {method.id: method for method in load_methods(read_manifest(folder / "prune", "first-party"))}


class Samples:
    """Random images as calibration and training data; implements both."""

    task, metric = "classification", "top1"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self.training = self

    def __len__(self) -> int:
        return 10_000

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        return self.calibration(len(self), batch_size)

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        for start in range(0, samples, batch_size):
            count = min(batch_size, samples - start)
            yield Batch({"x": rng.normal(3, 2, (count, *self._shape)).astype(np.float32)}, None)


def tools(graph: ModelGraph, *, data: object = None, seed: int = 0) -> Tools:
    return Tools(
        reference=graph,
        data=data,  # type: ignore[arg-type]
        inference=OrtEngine(),
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(seed),
        seed=seed,
    )


def plan(graph: ModelGraph, default: float = 0.0, **lines: float) -> LayerSettings:
    return settings(graph, default, {layer: {"prune_ratio": value} for layer, value in lines.items()})


def settings(graph: ModelGraph, default: float, lines: Mapping[str, Mapping[str, float]]) -> LayerSettings:
    written = Plan(default={"prune_ratio": default}, layers={name: dict(line) for name, line in lines.items()})
    return resolve(written, {layer.name: layer.knobs for layer in find_layers(graph)}, [PRUNE_RATIO])


def pruned(methods: Mapping[str, type[Method]], graph: ModelGraph, chosen: LayerSettings, **parameters: object):
    method = methods["prune.l1"]
    return method(method.Parameters(**parameters)).apply(graph, chosen, tools(graph))


def test_smallest_filters_of_all_members_go(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    result = pruned(methods, small_cnn, plan(small_cnn, 0.5))
    norms = [np.abs(small_cnn.constant(name)).sum(axis=(1, 2, 3)) for name in ("w1", "w2")]
    kept = np.sort(np.argsort(norms[0] + norms[1])[4:])
    assert np.array_equal(result.graph.constant("w1"), small_cnn.constant("w1")[kept])
    assert np.array_equal(result.graph.constant("w3"), small_cnn.constant("w3")[:, kept])
    group = result.details["groups"]["Conv_0"]
    assert {key: group[key] for key in group if key != "importance"} == {
        "ratio": 0.5,
        "channels": 8,
        "units": 8,
        "removed_units": 4,
    }
    assert "1 channel groups lost 4 of 8 units" in result.notes[0]
    assert any("Gemm_7 (reaches graph output 'y')" in note for note in result.notes)


def test_nothing_to_prune_returns_the_graph(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    result = pruned(methods, small_cnn, plan(small_cnn))
    assert result.graph is small_cnn
    assert result.notes[0] == "No layer has a prune ratio above 0."


def test_a_line_beats_the_default_for_the_whole_group(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    result = pruned(methods, small_cnn, plan(small_cnn, 0.5, Conv_2=0.25))
    assert result.graph.constant("w1").shape[0] == 6
    untouched = pruned(methods, small_cnn, plan(small_cnn, 0.5, Conv_0=0.0))
    assert untouched.graph is small_cnn


def test_a_line_beats_a_glob(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    chosen = settings(small_cnn, 0.0, {"Conv_2": {"prune_ratio": 0.25}, "Conv*": {"prune_ratio": 0.5}})
    later_glob_wins = pruned(methods, small_cnn, chosen)
    assert later_glob_wins.graph.constant("w1").shape[0] == 4
    chosen = settings(small_cnn, 0.0, {"Conv*": {"prune_ratio": 0.5}, "Conv_2": {"prune_ratio": 0.25}})
    assert pruned(methods, small_cnn, chosen).graph.constant("w1").shape[0] == 6


def test_contradictory_lines_are_refused(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    chosen = plan(small_cnn, 0.0, Conv_0=0.25, Conv_2=0.5)
    method = methods["prune.l1"](methods["prune.l1"].Parameters())
    with pytest.raises(RecipeError, match=r"'Conv_0' \(prune_ratio 0.25\) and 'Conv_2' \(prune_ratio 0.5\)"):
        method.check(small_cnn, chosen)
    with pytest.raises(RecipeError, match="can only be pruned together"):
        method.apply(small_cnn, chosen, tools(small_cnn))


def test_a_line_for_a_layer_that_can_not_be_pruned_is_refused(
    methods: dict[str, type[Method]], small_cnn: ModelGraph
) -> None:
    method = methods["prune.l1"](methods["prune.l1"].Parameters())
    with pytest.raises(
        RecipeError, match=r"layer 'Gemm_7': prune_ratio 0.5 can't be honoured: reaches graph output 'y'"
    ):
        method.check(small_cnn, plan(small_cnn, 0.0, Gemm_7=0.5))
    assert method.check(small_cnn, plan(small_cnn, 0.5)) == ("Not pruned: Gemm_7 (reaches graph output 'y').",)


@pytest.mark.parametrize(
    ("ratio", "multiple", "kept"), [(0.5, 1, 4), (0.3, 1, 6), (0.95, 1, 1), (0.3, 4, 4), (0.95, 4, 4), (0.5, 16, 8)]
)
def test_kept_channels_are_rounded(
    methods: dict[str, type[Method]], small_cnn: ModelGraph, ratio: float, multiple: int, kept: int
) -> None:
    result = pruned(methods, small_cnn, plan(small_cnn, ratio), channel_multiple=multiple)
    assert result.graph.constant(result.graph.node("Conv_0").inputs[1]).shape[0] == kept


def test_every_stage_of_a_padded_residual_stream_loses_its_share(
    methods: dict[str, type[Method]], shared: Path
) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    result = pruned(methods, graph, plan(graph, 0.5), channel_multiple=8)
    widths = [layer.weight_shape[0] for layer in find_layers(result.graph) if layer.op == "Conv"]
    assert widths == [8] * 7 + [16] * 6 + [32] * 6
    output = run(result.graph, feeds(result.graph, 0))[0]
    assert output.shape == (1, 10)
    assert np.isfinite(output).all()
    assert result.details["params_after"] < 0.27 * result.details["params_before"]


def test_random_depends_on_the_seed_only(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    method = methods["prune.random"](methods["prune.random"].Parameters())
    chosen = plan(small_cnn, 0.5)
    graphs = [method.apply(small_cnn, chosen, tools(small_cnn, seed=seed)).graph.to_bytes() for seed in (1, 1, 2, 3)]
    assert graphs[0] == graphs[1]
    assert len(set(graphs)) > 1


def test_cancel_ends_it(methods: dict[str, type[Method]], small_cnn: ModelGraph) -> None:
    token = CancelToken()
    token.cancel()
    method = methods["prune.l1"](methods["prune.l1"].Parameters())
    with pytest.raises(CancelledError):
        method.apply(small_cnn, plan(small_cnn, 0.5), replace(tools(small_cnn), cancel=token))


def test_statistics_are_taken_anew(methods: dict[str, type[Method]], graph_from: Callable[..., ModelGraph]) -> None:
    rng = np.random.default_rng(0)
    graph = graph_from(
        HEADER
        + """net (float[batch,3,8,8] x) => (float[batch,4] y) {
            a = Conv (x, w1)
            b = BatchNormalization (a, scale, shift, mean, var)
            c = Relu (b)
            p = GlobalAveragePool (c)
            f = Flatten (p)
            y = MatMul (f, w2)
        }""",
        {
            "w1": rng.normal(size=(8, 3, 1, 1)).astype(np.float32),
            "scale": np.ones(8, dtype=np.float32),
            "shift": np.zeros(8, dtype=np.float32),
            "mean": np.zeros(8, dtype=np.float32),
            "var": np.ones(8, dtype=np.float32),
            "w2": rng.normal(size=(8, 4)).astype(np.float32),
        },
    )
    method = methods["prune.l1"](methods["prune.l1"].Parameters(statistics_samples=500))
    chosen = plan(graph, 0.5)
    result = method.apply(graph, chosen, tools(graph, data=Samples((3, 8, 8))))
    weight = result.graph.constant("w1")
    assert weight.shape[0] == 4
    assert np.allclose(result.graph.constant("mean"), 3 * weight.sum(axis=(1, 2, 3)), atol=0.1)
    assert "Batch-norm statistics taken anew from up to 500 samples." in result.notes
    bare = method.apply(graph, chosen, tools(graph))
    assert not bare.graph.constant("mean").any()
    assert any("the recipe names no data" in note for note in bare.notes)


def test_quantized_weights_are_refused(methods: dict[str, type[Method]], graph_from: Callable[..., ModelGraph]) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,3,6,6] x) => (float[1,2,6,6] y) {
            w = DequantizeLinear <axis = 0> (wq, scale, zero)
            a = Conv (x, w)
            y = Conv (a, wy)
        }""",
        {
            "wq": np.arange(12, dtype=np.int8).reshape(4, 3, 1, 1),
            "scale": np.full(4, 0.1, dtype=np.float32),
            "zero": np.zeros(4, dtype=np.int8),
            "wy": np.ones((2, 4, 1, 1), dtype=np.float32),
        },
    )
    assert channel_groups(graph)[0].prunable
    method = methods["prune.l1"](methods["prune.l1"].Parameters())
    with pytest.raises(RecipeError, match="already quantized"):
        method.check(graph, plan(graph, 0.5))


def test_folded_convolutions_get_their_normalisation_back_first(
    methods: dict[str, type[Method]], small_cnn: ModelGraph
) -> None:
    method = methods["prune.l1"](methods["prune.l1"].Parameters(statistics_samples=256))
    result = method.apply(small_cnn, plan(small_cnn, 0.5), tools(small_cnn, data=Samples((3, 8, 8))))
    kinds = [node.op for node in result.graph.nodes]
    assert kinds.count("BatchNormalization") == 2
    assert any("Batch norm given back to folded convolutions, from up to 256 samples" in note for note in result.notes)
    assert result.graph.constant(result.graph.node("Conv_0").inputs[1]).shape[0] == 4
    bare = methods["prune.l1"](methods["prune.l1"].Parameters(restore_batch_norm=False))
    kept = bare.apply(small_cnn, plan(small_cnn, 0.5), tools(small_cnn, data=Samples((3, 8, 8))))
    assert "BatchNormalization" not in {node.op for node in kept.graph.nodes}


def test_channels_that_are_hardly_read_go_where_normalisation_was_folded(
    methods: dict[str, type[Method]], graph_from: Callable[..., ModelGraph]
) -> None:
    rng = np.random.default_rng(0)
    read = rng.normal(size=(8, 4)).astype(np.float32)
    read[[2, 5]] *= 1e-3
    graph = graph_from(
        HEADER
        + """net (float[batch,3,8,8] x) => (float[batch,4] y) {
            a = Conv (x, w1)
            c = Relu (a)
            p = GlobalAveragePool (c)
            f = Flatten (p)
            y = MatMul (f, w2)
        }""",
        {"w1": rng.normal(size=(8, 3, 1, 1)).astype(np.float32), "w2": read},
    )
    method = methods["prune.l1"](methods["prune.l1"].Parameters())
    result = method.apply(graph, plan(graph, 0.25), tools(graph, data=Samples((3, 8, 8))))
    assert np.array_equal(result.graph.constant("w2"), read[[0, 1, 3, 4, 6, 7]])
