"""A target of latency: met with few measurements, all reported; repeatable as a plan; refused in clear words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.api import (
    CancelledError,
    CancelToken,
    JobError,
    LayerSettings,
    Method,
    ModelGraph,
    Node,
    Plan,
    RecipeError,
    Requirement,
    Tools,
    graph_cost,
)
from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import PRUNE_RATIO
from workbench.domain.plan import resolve
from workbench.domain.recipe import Recipe, Step
from workbench.graph.layers import find_layers
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob, SweepJob
from workbench.worker.dispatch import run_job

Plans = Callable[..., LayerSettings]
WIDTHS = (64, 48, 64)


@pytest.fixture(scope="module")
def chain(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """Three convolutions and a linear layer, wide enough for multiples of 8 to differ."""
    rng = np.random.default_rng(0)
    weights, before = {}, 3
    for number, width in enumerate(WIDTHS):
        weights[f"w{number}"] = rng.normal(size=(width, before, 3, 3)).astype(np.float32) * 0.2
        before = width
    weights["w3"] = rng.normal(size=(5, before)).astype(np.float32)
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,16,16] x) => (float[batch,5] y) {
            c0 = Conv <pads = [1,1,1,1]> (x, w0)
            r0 = Relu (c0)
            c1 = Conv <pads = [1,1,1,1]> (r0, w1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2)
            r2 = Relu (c2)
            p = GlobalAveragePool (r2)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w3)
        }""",
        weights,
    )


def layers(graph: ModelGraph) -> list[Node]:
    return [node for node in graph.nodes if node.op in ("Conv", "Gemm")]


class Stairs:
    """Stands for a device: time rises with blocks of 8 channels, and odd counts cost as much as the next two blocks."""

    def __init__(self, original: ModelGraph) -> None:
        self.seen: list[float] = []
        self._original = self._time(original)

    def __call__(self, graph: ModelGraph) -> float:
        self.seen.append(self._time(graph) / self._original)
        return self.seen[-1]

    @staticmethod
    def _time(graph: ModelGraph) -> float:
        total = 1000.0
        for node in layers(graph):
            out, into, *_ = graph.constant_shape(node.inputs[1])
            total += math.prod(size if size % 8 == 0 else size // 8 * 8 + 16 for size in (out, into))
        return total


def pruned(methods: dict[str, type[Method]], graph: ModelGraph, plan: LayerSettings, tools: Tools, **given: object):
    method = methods["prune.l1"]
    given = {"target": "latency", "restore_batch_norm": False, **given}
    return method(method.Parameters(**given)).apply(graph, plan, tools)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("target", [0.8, 0.45, 0.2])
def test_the_least_pruning_that_meets_the_target_is_found_with_few_measurements(
    methods: dict[str, type[Method]],
    chain: ModelGraph,
    plan_of: Plans,
    tools_for: Callable[..., Tools],
    scope: str,
    target: float,
) -> None:
    stairs = Stairs(chain)
    tools = replace(tools_for(chain, data=None), latency_ratio=stairs)
    found = pruned(methods, chain, plan_of(chain), tools, scope=scope, normalisation="mean", target_ratio=target)
    assert 2 <= len(stairs.seen) <= 10
    assert len(set(stairs.seen)) == len(stairs.seen), "none is measured twice"
    assert found.details["latency_ratio"] == max(ratio for ratio in stairs.seen if ratio <= target)
    assert Stairs(chain)(found.graph) == pytest.approx(found.details["latency_ratio"])
    for node in layers(found.graph)[:3]:
        assert found.graph.constant_shape(node.inputs[1])[0] % 8 == 0
    if scope == "layer":
        # What an even ratio can reach, tried out one by one.
        meeting = []
        for step in range(181):
            settings = plan_of(chain, step * 0.005)
            smaller = pruned(methods, chain, settings, tools_for(chain, data=None), target="none", channel_multiple=8)
            if Stairs(chain)(smaller.graph) <= target:
                meeting.append(smaller.details.get("params_after", 0))
        assert found.details["params_after"] == max(meeting)


def test_every_measurement_is_reported(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    stairs, lines = Stairs(chain), []
    tools = replace(tools_for(chain, data=None), latency_ratio=stairs, log=lines.append)
    found = pruned(methods, chain, plan_of(chain), tools, target_ratio=0.5)
    trials = found.details["latency_trials"]
    assert [trial["latency_ratio"] for trial in trials] == stairs.seen
    (note,) = [note for note in found.notes if "measured while choosing" in note]
    for trial, line in zip(trials, lines, strict=True):
        text = f" at {trial['macs_ratio']:.2f} of the multiplications"
        assert f"{trial['latency_ratio']:.2f}{text}" in note
        assert line == f"Timed: {trial['latency_ratio']:.3f}{text}"
    kept = found.details["latency_ratio"]
    assert f"Kept {kept:.2f} (target 0.5). Another run may measure, and choose, otherwise" in note
    left = graph_cost(found.graph).macs / graph_cost(chain).macs
    assert next(trial for trial in trials if trial["latency_ratio"] == kept)["macs_ratio"] == pytest.approx(left)


def test_the_choice_is_a_plan_that_gives_the_same_without_measuring(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    tools = replace(tools_for(chain, data=None), latency_ratio=Stairs(chain))
    once = pruned(methods, chain, plan_of(chain), tools, target_ratio=0.4, scope="global", normalisation="mean")
    plan = Plan.model_validate(once.details["plan"])
    written = resolve(plan, {layer.name: layer.knobs for layer in find_layers(chain)}, [PRUNE_RATIO])
    assert once.details["settled"] == {"scope": "layer", "target": "none"}
    assert once.details["presumed"] == {"channel_multiple": 8}
    parameters = {**once.details["settled"], **once.details["presumed"]}
    again = pruned(methods, chain, written, tools_for(chain, data=None), **parameters)
    assert again.graph.to_bytes() == once.graph.to_bytes()
    assert "latency_trials" not in again.details


def test_multiples_of_8_are_the_rule_for_a_latency_and_a_choice_of_ones_own_wins(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    known = methods["prune.l1"].Parameters
    assert known().channel_multiple == known(target="macs").channel_multiple == 1
    assert known(target="latency").channel_multiple == 8
    assert known(target="latency").model_dump()["channel_multiple"] == 8
    assert known(target="latency", channel_multiple=1).channel_multiple == 1
    assert methods["schedule.agp"].Parameters(target="latency").ranking().channel_multiple == 8
    tools = replace(tools_for(chain, data=None), latency_ratio=Stairs(chain))
    odd = pruned(methods, chain, plan_of(chain), tools, target_ratio=0.6, channel_multiple=1, scope="global")
    assert odd.details["latency_ratio"] <= 0.6
    assert any("no multiple of 8" in note for note in odd.notes)


def test_a_target_out_of_reach_says_how_far_it_came(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    stairs = Stairs(chain)
    tools = replace(tools_for(chain, data=None), latency_ratio=stairs)
    far = {"target_ratio": 0.1, "smallest_share": 0.5}
    with pytest.raises(
        JobError, match=r"target of 0\.1 of the original's time can't be met.*Found measured 0\.\d"
    ) as no:
        pruned(methods, chain, plan_of(chain), tools, **far)
    assert f"{stairs.seen[0]:.3g}" in str(no.value)
    assert len(stairs.seen) == 1
    held = plan_of(chain, 0.0, {"*": 0.0})
    with pytest.raises(JobError, match=r"take the plan's lines for Conv_0, .* away"):
        pruned(methods, chain, held, tools, target_ratio=0.5)


def test_without_a_device_nothing_begins(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    method = methods["prune.l1"]
    assert Requirement.LATENCY in method(method.Parameters(target="latency")).requirements(chain)
    assert Requirement.LATENCY not in method(method.Parameters(target="macs")).requirements(chain)
    schedule = methods["schedule.agp"]
    assert Requirement.LATENCY in schedule(schedule.Parameters(target="latency")).requirements(chain)
    with pytest.raises(JobError, match=r"prune.l1 aims at a latency, and nothing measures latency here.*target macs"):
        pruned(methods, chain, plan_of(chain), tools_for(chain, data=None))


def test_a_cancel_ends_the_search(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    token, stairs = CancelToken(), Stairs(chain)

    def cancelling(graph: ModelGraph) -> float:
        if len(stairs.seen) == 1:
            token.cancel()
        return stairs(graph)

    tools = replace(tools_for(chain, data=None), latency_ratio=cancelling, cancel=token)
    with pytest.raises(CancelledError):
        pruned(methods, chain, plan_of(chain), tools)
    assert len(stairs.seen) == 2


def test_what_was_measured_before_a_crash_is_not_measured_again(
    methods: dict[str, type[Method]], chain: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools], tmp_path: Path
) -> None:
    first, second, noisy = Stairs(chain), Stairs(chain), tmp_path / "steps" / "key.epochs"
    given = {"target_ratio": 0.5}
    tools = replace(tools_for(chain, data=None), latency_ratio=first, checkpoint=noisy)
    once = pruned(methods, chain, plan_of(chain), tools, **given)
    again = pruned(methods, chain, plan_of(chain), replace(tools, latency_ratio=second), **given)
    assert (len(first.seen) > 1, second.seen) == (True, [])
    assert again.graph.to_bytes() == once.graph.to_bytes()
    assert again.notes == once.notes
    next(noisy.parent.glob("key.epochs*")).write_text("{", encoding="utf-8")
    pruned(methods, chain, plan_of(chain), replace(tools, latency_ratio=second), **given)
    assert second.seen == first.seen


@pytest.mark.parametrize("method", ["prune.l1", "schedule.agp"])
@pytest.mark.parametrize("target", ["latency", "macs"])
def test_sensitivities_to_a_target_are_refused_before_anything_runs(
    chain: ModelGraph, tmp_path: Path, method: str, target: str
) -> None:
    save_model(chain, tmp_path / "model.onnx")
    data = DataDescription.model_validate(
        {"task": "outputs", "test": {"reader": "random", "samples": 4, "shape": [3, 16, 16]}}
    )
    spec = SweepJob(
        model=str(tmp_path / "model.onnx"),
        data=data,
        method=method,
        parameters={"target": target},
        knob="prune_ratio",
        values=(0.5,),
        store=str(tmp_path / "points.jsonl"),
    )
    with pytest.raises(RecipeError, match=rf"{method}: its target {target} prunes every layer.*set target to none"):
        run_job(spec, JobContext())
    assert not (tmp_path / "points.jsonl").exists()


@pytest.mark.slow
def test_a_real_device_times_the_trials(chain: ModelGraph, tmp_path: Path) -> None:
    save_model(chain, tmp_path / "model.onnx")
    step = Step(method="prune.l1", parameters={"target": "latency", "target_ratio": 0.6, "restore_batch_norm": False})
    spec = CompressJob(
        model=str(tmp_path / "model.onnx"),
        recipe=Recipe(steps=(step,)),
        out=str(tmp_path / "out.onnx"),
        latency_seconds=1.0,
    )
    report = run_job(spec, JobContext())
    (done,) = report["steps"]
    ratios = [trial["latency_ratio"] for trial in done["details"]["latency_trials"]]
    assert 1 <= len(ratios) <= 10
    assert all(0 < ratio < 1.5 for ratio in ratios)
    assert done["details"]["latency_ratio"] == max(ratio for ratio in ratios if ratio <= 0.6)
    assert report["candidate"]["macs"] < report["model"]["macs"]
    # Measured again for the report: the same within what a busy machine leaves of it.
    assert report["latency"]["ratio_to_first"]["median"] < 0.8
