"""Targets and global ranking: what is asked for is met, lines of the plan hold, the outcome is a plan again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.api import (
    CancelledError,
    CancelToken,
    LayerSettings,
    Method,
    ModelGraph,
    Plan,
    Progress,
    RecipeError,
    Tools,
    graph_cost,
)
from workbench.domain.knobs import PRUNE_RATIO
from workbench.domain.plan import resolve
from workbench.graph.layers import find_layers
from workbench.graph.storage import open_model

Plans = Callable[..., LayerSettings]


@pytest.fixture(scope="module")
def resnet(shared: Path) -> ModelGraph:
    return open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")


def run(
    methods: dict[str, type[Method]], graph: ModelGraph, plan: LayerSettings, tools: Tools, **parameters: object
) -> tuple[ModelGraph, dict]:
    method = methods["prune.l1"]
    result = method(method.Parameters(restore_batch_norm=False, **parameters)).apply(graph, plan, tools)
    return result.graph, result.details


def size(graph: ModelGraph, target: str) -> int:
    return graph.weight_bytes if target == "size" else getattr(graph_cost(graph), target)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(("target", "ratio"), [("macs", 0.5), ("params", 0.4), ("size", 0.6)])
def test_a_target_is_met_and_hardly_overshot(
    methods: dict[str, type[Method]],
    resnet: ModelGraph,
    plan_of: Plans,
    tools_for: Callable[..., Tools],
    scope: str,
    target: str,
    ratio: float,
) -> None:
    tools = tools_for(resnet, data=None)
    smaller, details = run(
        methods,
        resnet,
        plan_of(resnet),
        tools,
        scope=scope,
        target=target,
        target_ratio=ratio,
        normalisation="mean",
    )
    left = size(smaller, target) / size(resnet, target)
    assert ratio - 0.04 < left <= ratio
    shares = [1 - group["removed_units"] / group["units"] for group in details["groups"].values()]
    assert min(shares) >= 0.1
    assert (len({round(group["ratio"], 3) for group in details["groups"].values()}) == 1) == (scope == "layer")


def test_the_outcome_is_a_plan_that_gives_the_same_again(
    methods: dict[str, type[Method]], resnet: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    tools = tools_for(resnet, data=None)
    once, details = run(
        methods, resnet, plan_of(resnet), tools, scope="global", target="macs", target_ratio=0.6, channel_multiple=4
    )
    plan = Plan.model_validate(details["plan"])
    inner = details["groups"]["node_conv2d_3"]
    assert plan.layers["node_conv2d_3"]["prune_ratio"] == inner["removed_units"] / inner["units"]
    written = resolve(plan, {layer.name: layer.knobs for layer in find_layers(resnet)}, [PRUNE_RATIO])
    again, _ = run(methods, resnet, written, tools, channel_multiple=4)
    assert again.to_bytes() == once.to_bytes()


def test_lines_of_the_plan_hold(
    methods: dict[str, type[Method]], resnet: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    plan = plan_of(resnet, 0.0, {"node_conv2d_1": 0.0, "node_conv2d_3": 0.75})
    tools = tools_for(resnet, data=None)
    smaller, details = run(methods, resnet, plan, tools, scope="global", target="macs", target_ratio=0.7)
    assert "node_conv2d_1" not in details["groups"]
    assert details["groups"]["node_conv2d_3"]["removed_units"] == 12
    assert size(smaller, "macs") <= 0.7 * size(resnet, "macs")


def test_a_global_ranking_takes_as_many_units_as_the_default_asks_for(
    methods: dict[str, type[Method]], resnet: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    tools = tools_for(resnet, data=None)
    lines = {"node_conv2d": 0.0}
    _, details = run(methods, resnet, plan_of(resnet, 0.5, lines), tools, scope="global")
    groups = details["groups"].values()
    taken = sum(group["removed_units"] for group in groups) / sum(group["units"] for group in groups)
    assert taken == pytest.approx(0.5, abs=0.02)
    assert len({group["ratio"] for group in groups}) > 3


@pytest.fixture(scope="module")
def uneven(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """Two layers of filters of length 1 in the mean: of all lengths in one, four tiny and twelve long in the other."""
    rng = np.random.default_rng(0)

    def filters(lengths: list[float], fan_in: int) -> np.ndarray:
        weight = np.abs(rng.normal(size=(len(lengths), fan_in, 3, 3)))
        weight *= np.asarray(lengths)[:, None, None, None] / weight.sum(axis=(1, 2, 3), keepdims=True)
        return weight.astype(np.float32)

    spread = [0.6 + 0.8 * place / 15 for place in range(16)]
    parted = [0.1] * 4 + [1.04 + 0.52 * place / 11 for place in range(12)]
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,4] y) {
            a = Conv <pads = [1,1,1,1]> (x, w0)
            b = Relu (a)
            c = Conv <pads = [1,1,1,1]> (b, w1)
            d = Relu (c)
            p = GlobalAveragePool (d)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w2)
        }""",
        {
            "w0": filters(spread, 3),
            "w1": filters(parted, 16),
            "w2": rng.normal(size=(4, 16)).astype(np.float32),
        },
    )


def removed_by(
    methods: dict[str, type[Method]], graph: ModelGraph, plan: LayerSettings, tools: Tools, **given: object
) -> tuple[int, ...]:
    _, details = run(methods, graph, plan, tools, scope="global", **given)
    return tuple(group["removed_units"] for group in details["groups"].values())


@pytest.mark.parametrize("normalisation", ["auto", "mean", "standard"])
def test_layers_are_compared_on_the_scale_of_what_is_left(
    methods: dict[str, type[Method]],
    uneven: ModelGraph,
    plan_of: Plans,
    tools_for: Callable[..., Tools],
    normalisation: str,
) -> None:
    tools, plan = tools_for(uneven, data=None), plan_of(uneven, 0.375)
    once = removed_by(methods, uneven, plan, tools, ranking_rounds=1, normalisation=normalisation)
    again = removed_by(methods, uneven, plan, tools, ranking_rounds=20, normalisation=normalisation)
    assert sum(once) == sum(again) == 12
    if normalisation != "standard":
        assert once == (8, 4), "beside the tiny ones of their layer, all long ones look important"
    assert again[1] > once[1]


def test_ranking_in_rounds_can_be_cancelled(
    methods: dict[str, type[Method]], uneven: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    token, seen = CancelToken(), []

    def report(share: float, text: str) -> None:
        seen.append((share, text))
        if text == "choosing channels":
            token.cancel()

    tools = replace(tools_for(uneven, data=None), progress=Progress(report), cancel=token)
    with pytest.raises(CancelledError):
        removed_by(methods, uneven, plan_of(uneven, 0.5), tools)
    assert seen[-1] == (0.6, "choosing channels")


@pytest.mark.parametrize("normalisation", ["none", "max"])
def test_scales_that_removals_do_not_change_are_taken_once(
    methods: dict[str, type[Method]],
    uneven: ModelGraph,
    plan_of: Plans,
    tools_for: Callable[..., Tools],
    normalisation: str,
) -> None:
    tools, plan = tools_for(uneven, data=None), plan_of(uneven, 0.5)
    once, again = (
        removed_by(methods, uneven, plan, tools, ranking_rounds=rounds, normalisation=normalisation)
        for rounds in (1, 20)
    )
    assert once == again


def test_a_target_out_of_reach_is_refused_before_the_run(
    methods: dict[str, type[Method]], resnet: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    method = methods["prune.l1"]
    far = method(method.Parameters(target="macs", target_ratio=0.02, smallest_share=0.5))
    with pytest.raises(RecipeError, match=r"target of 0.02 of the original's multiplications can't be met.*Found 0\.2"):
        far.check(resnet, plan_of(resnet))
    pinned = method(method.Parameters(target="macs", target_ratio=0.5))
    with pytest.raises(RecipeError, match=r"can't be met.*take the plan's lines for node_conv2d, .*, … away"):
        pinned.check(resnet, plan_of(resnet, 0.0, {"*": 0.0}))
    with pytest.raises(RecipeError, match="can't be met"):
        pinned.apply(resnet, plan_of(resnet, 0.0, {"*": 0.0}), tools_for(resnet, data=None))
    assert pinned.check(resnet, plan_of(resnet)) == ()


def test_a_global_ranking_of_nothing_is_said(
    methods: dict[str, type[Method]], small_cnn: ModelGraph, plan_of: Plans
) -> None:
    method = methods["prune.l1"]
    ranked = method(method.Parameters(scope="global"))
    notes = ranked.check(small_cnn, plan_of(small_cnn, 0.0, {"Conv_0": 0.5}))
    assert notes[-1] == "Scope global has no effect: the plan gives every layer a ratio of its own."


def test_targets_refer_to_the_original(
    methods: dict[str, type[Method]], resnet: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> None:
    tools = tools_for(resnet, data=None)
    plan = plan_of(resnet)
    half, _ = run(methods, resnet, plan, tools, target="macs", target_ratio=0.5)
    twice, _ = run(methods, half, plan, tools, target="macs", target_ratio=0.5)
    assert size(twice, "macs") == size(half, "macs")
