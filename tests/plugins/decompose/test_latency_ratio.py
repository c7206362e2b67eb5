"""Ranks that a target of measured time chooses: met, no lower than needed, told, and the same again as a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.fakes.method_tools import tools
from workbench.api import JobError, LayerSettings, Method, MethodResult, ModelGraph, Requirement, graph_cost
from workbench.domain.data_description import DataDescription
from workbench.domain.installation import shipped_folder
from workbench.domain.knobs import RANK_RATIO
from workbench.domain.plan import Plan, resolve
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import CandidateReport
from workbench.graph.layers import find_layers
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest
from workbench.worker.dispatch import run_job


@pytest.fixture(scope="module")
def methods() -> Mapping[str, type[Method]]:
    folder = shipped_folder("plugins")
    assert folder is not None
    return {method.id: method for method in load_methods(read_manifest(folder / "decompose", "first-party"))}


@pytest.fixture(scope="module")
def mlp(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """Three wide matrices; no rank of a half or more makes any of them smaller."""
    rng = np.random.default_rng(0)
    sizes = (("w1", (64, 128)), ("w2", (128, 128)), ("w3", (128, 32)))
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,64] x) => (float[batch,32] y) {
            a = MatMul (x, w1)  r = Relu (a)  b = MatMul (r, w2)  s = Relu (b)  y = MatMul (s, w3)
        }""",
        {name: rng.normal(size=size).astype(np.float32) for name, size in sizes},
    )


class Clock:
    """Takes the share of multiplications for time, and counts what it is asked."""

    def __init__(self, original: ModelGraph) -> None:
        self.whole, self.seen = graph_cost(original).macs, []

    def __call__(self, graph: ModelGraph) -> float:
        self.seen.append(graph_cost(graph).macs / self.whole)
        return self.seen[-1]


def applied(
    methods: Mapping[str, type[Method]], graph: ModelGraph, plan: Plan, clock: Clock | None, **parameters: Any
) -> MethodResult:
    layers = {layer.name: layer.knobs for layer in find_layers(graph)}
    settings: LayerSettings = resolve(plan, layers, [RANK_RATIO])
    kind = methods["decompose.svd"]
    return kind(kind.Parameters(**parameters)).apply(graph, settings, replace(tools(graph), latency_ratio=clock))


HALF = Plan(default={"rank_ratio": 0.5})


@pytest.mark.parametrize("target", [0.7, 0.5, 0.25])
def test_the_largest_ranks_that_meet_the_target_are_kept(
    methods: Mapping[str, type[Method]], mlp: ModelGraph, target: float
) -> None:
    clock = Clock(mlp)
    result = applied(methods, mlp, HALF, clock, latency_ratio=target)
    reached = graph_cost(result.graph).macs / clock.whole
    assert target - 0.05 < reached <= target
    assert result.details["latency_ratio"] == pytest.approx(reached)
    assert len(clock.seen) == len(result.details["latency_trials"]) <= 8
    assert f"target {target:g}" in " ".join(result.notes)


def test_the_plans_own_ranks_are_kept_where_they_meet_it(methods: Mapping[str, type[Method]], mlp: ModelGraph) -> None:
    clock = Clock(mlp)
    low = Plan(default={"rank_ratio": 0.1})
    result = applied(methods, mlp, low, clock, latency_ratio=0.9)
    plain = applied(methods, mlp, low, None)
    assert len(clock.seen) == 1
    assert graph_cost(result.graph).macs == graph_cost(plain.graph).macs


def test_what_was_chosen_replays_as_a_plan(methods: Mapping[str, type[Method]], mlp: ModelGraph) -> None:
    result = applied(methods, mlp, HALF, Clock(mlp), latency_ratio=0.5)
    plan = Plan(layers=result.details["plan"]["layers"])
    again = applied(methods, mlp, plan, None, **result.details["settled"])
    assert set(again.graph.initializers) == set(result.graph.initializers)
    for name in result.graph.initializers:
        np.testing.assert_array_equal(again.graph.constant(name), result.graph.constant(name))


def test_a_target_out_of_reach_and_one_that_nothing_measures(
    methods: Mapping[str, type[Method]], mlp: ModelGraph
) -> None:
    with pytest.raises(JobError, match=r"can't be met by lower ranks.*at the shortest"):
        applied(methods, mlp, HALF, Clock(mlp), latency_ratio=0.01)
    with pytest.raises(JobError, match="nothing measures latency here"):
        applied(methods, mlp, HALF, None, latency_ratio=0.5)


def test_it_needs_a_device_and_no_second_rule(methods: Mapping[str, type[Method]], mlp: ModelGraph) -> None:
    kind = methods["decompose.svd"]
    timed = kind(kind.Parameters(latency_ratio=0.5))
    assert Requirement.LATENCY in timed.requirements(mlp)
    assert Requirement.LATENCY not in kind(kind.Parameters()).requirements(mlp)
    assert "latency_ratio" in (timed.sweep_obstacle() or "")
    with pytest.raises(ValidationError, match="energy and latency_ratio both decide"):
        kind.Parameters(latency_ratio=0.5, energy=0.9)


def test_through_the_job_on_a_real_device(mlp: ModelGraph, tmp_path: Path) -> None:
    save_model(mlp, tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(40, 64)).astype(np.float32), y=rng.integers(0, 32, 40))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    data = DataDescription.model_validate({"train": split, "test": split, "folder": str(tmp_path)})
    # Far above what any rank takes: the first trial meets it, however slow the machine.
    step = Step(method="decompose.svd", parameters={"latency_ratio": 9.0})
    recipe = Recipe(data=data, plan=Plan(default={"rank_ratio": 0.25}), steps=(step,))
    spec = CompressJob(
        model=str(tmp_path / "model.onnx"), recipe=recipe, out=str(tmp_path / "out.onnx"), latency_seconds=0.3
    )
    report = CandidateReport.model_validate(run_job(spec, JobContext()))
    (entry,) = report.steps
    assert entry.details["latency_target"] == 9.0
    assert len(entry.details["latency_trials"]) == 1
    assert report.candidate.params < report.model.params
