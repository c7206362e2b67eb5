"""Every pruning schedule: what it removes was zero before, the plan is met, and a crash or a cancel loses little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.fakes.removal import feeds, run
from workbench.api import (
    CancelledError,
    CancelToken,
    JobError,
    LayerSettings,
    Method,
    ModelGraph,
    Progress,
    RecipeError,
    Stage,
    Tools,
    fold_batch_norm,
    graph_cost,
    remove_channels,
)
from workbench.domain.data_description import DataDescription
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.methods.preparation import RecipeData

HOOKED = ("agp", "soft", "spp", "increg", "greg1", "greg2", "group_lasso", "slimming")
ALL = ("iterative", *HOOKED)
SAMPLES = 160
HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


@pytest.fixture(scope="module")
def network(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """A residual block with its own batch norm, a depthwise layer, and an unnormalised convolution behind."""
    rng = np.random.default_rng(1)
    weights: dict[str, np.ndarray] = {}
    for name, shape in {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 1, 3, 3), "w4": (12, 8, 1, 1)}.items():
        weights[name] = (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    weights["b4"] = rng.normal(size=12).astype(np.float32) * 0.1
    weights["w5"], weights["b5"] = rng.normal(size=(5, 12)).astype(np.float32), np.zeros(5, np.float32)
    for name in ("1", "2"):
        weights |= {
            f"g{name}": rng.uniform(0.5, 1.5, 8).astype(np.float32),
            f"s{name}": rng.normal(size=8).astype(np.float32) * 0.1,
            f"m{name}": rng.normal(size=8).astype(np.float32) * 0.1,
            f"v{name}": rng.uniform(0.5, 1.5, 8).astype(np.float32),
        }
    return graph_from(
        HEADER
        + """net (float[batch,3,6,6] x) => (float[batch,5] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1)
            n1 = BatchNormalization (c1, g1, s1, m1, v1)
            r1 = Relu (n1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2)
            n2 = BatchNormalization (c2, g2, s2, m2, v2)
            a = Add (n2, r1)
            r2 = Relu (a)
            c3 = Conv <pads = [1,1,1,1], group = 8> (r2, w3)
            r3 = Relu (c3)
            c4 = Conv (r3, w4, b4)
            r4 = Relu (c4)
            p = GlobalAveragePool (r4)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w5, b5)
        }""",
        weights,
    )


@pytest.fixture(scope="module")
def make_tools(network: ModelGraph, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tools]:
    """Return a function (**replaced) -> tools with labelled random pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    x = np.random.default_rng(5).normal(size=(SAMPLES, 3, 6, 6)).astype(np.float32)
    y = OrtEngine(threads=1).open(network).run({"x": x})["y"].argmax(axis=1)
    np.savez(folder / "d.npz", x=x, y=y)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    description = DataDescription.model_validate({"train": split, "folder": str(folder)})

    def make(graph: ModelGraph = network, **replaced: Any) -> Tools:
        engine = OrtEngine(threads=1)
        tools = Tools(
            reference=graph,
            data=RecipeData(description, graph.inputs, engine, graph),
            inference=engine,
            training=TorchEngine(threads=1),
            rng=np.random.default_rng(0),
            seed=3,
        )
        return replace(tools, **replaced)

    return make


@pytest.fixture(scope="module")
def build(methods: dict[str, type[Method]]) -> Callable[..., Method]:
    """Return a function (name, **parameters) -> method with few epochs."""

    def make(name: str, **parameters: Any) -> Method:
        kind = methods[f"schedule.{name}"]
        few: dict[str, Any] = {
            "epochs": 1,
            "schedule_epochs": 2,
            "rounds": 2,
            "batch_size": 32,
            "threads": 1,
            "precision": "float32",
            "statistics_samples": 64,
            "criterion_samples": 64,
        }
        known = kind.Parameters.model_fields
        return kind(kind.Parameters(**{key: few[key] for key in few if key in known} | parameters))

    return make


def widths(graph: ModelGraph) -> list[int]:
    return [graph.constant_shape(node.inputs[1])[0] for node in graph.nodes if node.op == "Conv"]


@pytest.mark.parametrize("name", ALL)
def test_it_prunes_to_the_plan_and_reports(
    name: str,
    build: Callable[..., Method],
    network: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
) -> None:
    method, before = build(name), network.to_bytes()
    assert method.stage is Stage.TRAIN
    plan = plan_of(network, 0.5, {"Conv_9": 0.25})
    seen: list[float] = []
    assert not [note for note in method.check(network, plan) if "Not pruned" in note and "Gemm" not in note]
    result = method.apply(network, plan, make_tools(progress=Progress(lambda share, text: seen.append(share))))
    assert widths(result.graph) == [4, 4, 4, 9]
    assert network.to_bytes() == before
    assert seen == sorted(seen)
    details = result.details
    removed = {group: entry["removed_units"] for group, entry in details["groups"].items()}
    assert sorted(removed.values()) == [3, 4]
    assert details["plan"]["layers"]["Conv_9"] == {"prune_ratio": 0.25}
    assert len(details["history"]) == 1
    assert 0 <= details["score_removed"] <= 1
    assert "lost 7 of 20 units" in result.notes[0]
    if name in HOOKED:
        assert len(details["schedule"]["history"]) == len(details["schedule"]["record"]) == 2
        assert details["removed_against_masked"] < 1e-4
    else:
        assert [entry["round"] for entry in details["rounds"]] == [1, 2]
        assert 0 < details["rounds"][0]["units_removed"] < 7 == details["rounds"][1]["units_removed"]
        assert 0 <= details["rounds"][0]["score"] <= 1
    output = run(result.graph, feeds(result.graph, 0))[0]
    assert np.isfinite(output).all()


@pytest.mark.parametrize("name", HOOKED)
def test_what_is_removed_was_zero(
    name: str,
    build: Callable[..., Method],
    network: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = build(name, epochs=0, statistics_samples=0)
    cuts: list[tuple[ModelGraph, dict[str, tuple[int, ...]]]] = []
    # Another test may have had the plugin loaded anew: what counts are the names that this method's code looks up.
    (hooked,) = (base for base in type(method).__mro__ if base.__name__ == "HookedPruning")
    monkeypatch.setitem(
        hooked.sparsify.__globals__,
        "removed",
        lambda graph, removal: cuts.append((graph, removal)) or remove_channels(graph, removal),
    )
    result = method.apply(network, plan_of(network, 0.5), make_tools())
    ((masked, removal),) = cuts
    assert widths(masked) == [8, 8, 8, 12]
    assert sum(map(len, removal.values())) == 10
    inputs = {"x": np.random.default_rng(3).normal(size=(16, 3, 6, 6)).astype(np.float32)}
    expected, found = run(masked, inputs)[0], run(result.graph, inputs)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bytes_also_after_a_crash_in_any_training(
    name: str,
    build: Callable[..., Method],
    network: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
    tmp_path: Path,
) -> None:
    method = build(name, **({"round_epochs": 2} if name == "iterative" else {}), epochs=2)
    plan = plan_of(network, 0.5)
    expected = method.apply(network, plan, make_tools()).graph.to_bytes()
    file = tmp_path / "key.part"
    # The first attempt dies in the schedule's second epoch, the next one in the recovery's, the third comes through.
    for files, ends in ((1, 2), (2, 3)):
        lines: list[str] = []

        def dies(text: str, lines: list[str] = lines, ends: int = ends) -> None:
            lines.extend([text] if text.startswith("epoch") else [])
            if len(lines) == ends:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            method.apply(network, plan, make_tools(checkpoint=file, log=dies))
        assert len(list(tmp_path.glob("key.part-*"))) == files
    told: list[str] = []
    result = method.apply(network, plan, make_tools(checkpoint=file, log=told.append))
    assert sum(line.startswith("epoch") for line in told) == 1
    assert result.graph.to_bytes() == expected
    assert any("went on" in note for note in result.notes)
    other = method.apply(network, plan, make_tools(seed=4)).graph.to_bytes()
    assert other != expected


@pytest.mark.parametrize("name", ALL)
def test_a_cancel_ends_the_schedule_and_keeps_the_best_of_the_recovery(
    name: str,
    build: Callable[..., Method],
    network: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
) -> None:
    plan = plan_of(network, 0.5)

    def cancelled_when(begins: str) -> Tools:
        token = CancelToken()
        return make_tools(cancel=token, log=lambda text: token.cancel() if text.startswith(begins) else None)

    with pytest.raises(CancelledError):
        build(name).apply(network, plan, cancelled_when("epoch 1"))
    late = build(name, epochs=3)
    seen: list[str] = []
    token = CancelToken()

    def log(text: str) -> None:
        seen.append(text)
        if len([line for line in seen if line.startswith(("epoch 1/3", "epoch 2/3"))]) == 2:
            token.cancel()

    result = late.apply(network, plan, make_tools(cancel=token, log=log))
    assert result.details["stopped_early"]
    assert widths(result.graph) == [4, 4, 4, 6]


@pytest.mark.parametrize("criterion", ["l1", "l2", "geometric_median", "bn_scale", "taylor"])
@pytest.mark.parametrize("name", ["iterative", "agp", "soft", "spp"])
def test_criteria_rank(
    criterion: str,
    name: str,
    build: Callable[..., Method],
    small_cnn: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
    network: ModelGraph,
) -> None:
    method = build(name, criterion=criterion, epochs=0, channel_multiple=2)
    assert ("labels" in method.requirements(network)) == (criterion == "taylor")
    result = method.apply(network, plan_of(network, 0.4), make_tools())
    assert widths(result.graph) == [4, 4, 4, 8]


def test_a_target_decides_the_ratios(
    build: Callable[..., Method],
    network: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
) -> None:
    method = build("agp", epochs=0, target="params", target_ratio=0.6, scope="global")
    method.check(network, plan_of(network))
    result = method.apply(network, plan_of(network), make_tools())
    assert 0.3 < result.details["params_after"] / result.details["params_before"] < 0.65
    with pytest.raises(RecipeError, match="can't be met"):
        build("agp", target="params", target_ratio=0.01).check(network, plan_of(network))


def test_a_measured_target_decides_before_the_training_and_is_kept_beside_its_checkpoint(
    build: Callable[..., Method],
    network: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
    tmp_path: Path,
) -> None:
    whole, measured = graph_cost(network).macs, []

    def latency_ratio(graph: ModelGraph) -> float:
        measured.append(graph_cost(graph).macs / whole)
        return measured[-1]

    method = build("agp", epochs=0, target="latency", target_ratio=0.6, channel_multiple=1)
    tools = make_tools(latency_ratio=latency_ratio, checkpoint=tmp_path / "key.epochs")
    result = method.apply(network, plan_of(network), tools)
    assert 1 < len(measured) <= 10
    assert result.details["latency_ratio"] == max(ratio for ratio in measured if ratio <= 0.6)
    assert graph_cost(fold_batch_norm(result.graph)).macs / whole <= 0.6
    assert any("measured while choosing" in note for note in result.notes)
    count = len(measured)
    again = method.apply(network, plan_of(network), tools)
    assert (len(measured), again.details["plan"]) == (count, result.details["plan"])
    with pytest.raises(JobError, match=r"of 0\.6 of the original's time can't be met"):
        method.apply(network, plan_of(network, 0.0, {"*": 0.0}), replace(tools, checkpoint=None))


def test_what_can_not_be_done_is_said(
    build: Callable[..., Method],
    methods: dict[str, type[Method]],
    network: ModelGraph,
    small_cnn: ModelGraph,
    plan_of: Callable[..., LayerSettings],
    make_tools: Callable[..., Tools],
) -> None:
    with pytest.raises(RecipeError, match="needs training data"):
        build("soft").apply(network, plan_of(network, 0.5), make_tools(data=None))
    nothing = build("soft").apply(network, plan_of(network), make_tools())
    assert nothing.graph is network
    assert "nothing was trained" in nothing.notes[0]
    assert any("0 epochs" in note for note in build("spp", epochs=0).check(network, plan_of(network, 0.5)))
    with pytest.raises(RecipeError, match="no batch norm"):
        build("slimming", restore_batch_norm=False).check(small_cnn, plan_of(small_cnn, 0.5))
    for name, bad in {"agp": {"exponent": 0}, "spp": {"symmetry": 0.5}, "greg2": {"picking_share": 0.9}}.items():
        with pytest.raises(ValidationError, match=next(iter(bad))):
            methods[f"schedule.{name}"].Parameters(**bad)


@pytest.mark.parametrize("name", ALL)
def test_it_introduces_itself(name: str, methods: dict[str, type[Method]]) -> None:
    method = methods[f"schedule.{name}"]
    assert method.title
    assert method.summary.endswith(".")
    assert any(char.isdigit() for char in method.source), "names the paper's year"
    for key, schema in method.Parameters.model_json_schema()["properties"].items():
        assert schema.get("description", "").endswith("."), key
