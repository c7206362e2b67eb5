"""What a pruning is warned of: channel counts that are slow, scores without a common scale, choices without effect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from workbench.api import LayerSettings, Method, ModelGraph, Tools, graph_cost

Plans = Callable[..., LayerSettings]


@pytest.fixture(scope="module")
def funnel(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """A convolution at full size, dear in multiplications, and two behind a stride of 4, which are cheap; one narrow.

    All weights are drawn alike, so that importance alone tells the layers apart by nothing but chance.
    """
    rng = np.random.default_rng(0)
    shapes = {"w0": (32, 3, 3, 3), "w1": (32, 32, 3, 3), "w2": (32, 32, 3, 3), "w3": (6, 32, 1, 1)}
    weights = {name: rng.normal(size=shape).astype(np.float32) * 0.2 for name, shape in shapes.items()}
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,16,16] x) => (float[batch,4] y) {
            c0 = Conv <pads = [1,1,1,1]> (x, w0)
            r0 = Relu (c0)
            c1 = Conv <pads = [1,1,1,1], strides = [4,4]> (r0, w1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2)
            r2 = Relu (c2)
            c3 = Conv (r2, w3)
            r3 = Relu (c3)
            p = GlobalAveragePool (r3)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w4)
        }""",
        {**weights, "w4": rng.normal(size=(4, 6)).astype(np.float32)},
    )


@pytest.fixture
def prune(
    methods: dict[str, type[Method]], funnel: ModelGraph, plan_of: Plans, tools_for: Callable[..., Tools]
) -> Callable[..., object]:
    """Return a function (default ratio, plan's lines, method=…, parameters) -> result on the funnel."""

    def run(default: float = 0.0, lines: dict[str, float] | None = None, name: str = "prune.l1", **given: object):
        method = methods[name]
        applied = method(method.Parameters(restore_batch_norm=False, statistics_samples=0, **given))
        settings = plan_of(funnel, default, lines)
        return applied.apply(funnel, settings, tools_for(funnel, data=None)), applied.check(funnel, settings)

    return run


def about(notes: tuple[str, ...], text: str) -> list[str]:
    return [note for note in notes if text in note]


def test_counts_that_are_no_multiple_of_8_are_named_with_what_to_set(prune: Callable) -> None:
    result, _ = prune(0.35)
    (note,) = about(result.notes, "no multiple of 8")
    assert note.startswith("3 layers keep a number of channels")
    assert "Conv_0 (21 of 32), Conv_2 (21 of 32), Conv_4 (21 of 32)." in note, "a layer of 6 channels has no multiple"
    assert note.endswith("set channel_multiple to 8 or 16.")
    (note,) = about(prune(0.0, {"Conv_2": 0.35})[0].notes, "no multiple of 8")
    assert note.startswith("1 layer keeps")
    assert not about(prune(0.35, channel_multiple=8)[0].notes, "no multiple of 8")
    assert not about(prune(0.25, {"Conv_6": 0.0})[0].notes, "no multiple of 8")


def test_rounding_that_leaves_nothing_to_remove_is_said_before_the_run(
    prune: Callable, methods: dict[str, type[Method]], funnel: ModelGraph, plan_of: Plans
) -> None:
    result, warned = prune(0.5, channel_multiple=64)
    for notes in (result.notes, warned):
        (note,) = about(notes, "channel_multiple")
        assert note.startswith("Nothing will be removed at all from Conv_0, Conv_2, Conv_4, Conv_6: rounded to a mult")
        assert note.endswith("Lower channel_multiple, or raise the ratio.")
    assert not any(group["removed_units"] for group in result.details["groups"].values())
    (note,) = about(prune(0.2, {"Conv_2": 0.5}, channel_multiple=16)[1], "channel_multiple")
    assert note.startswith("Nothing will be removed from Conv_0, Conv_4, Conv_6: "), "16 of 32 is possible, 26 is not"
    ranked = {"scope": "global", "target": "macs", "target_ratio": 0.6}
    (note,) = about(prune(channel_multiple=8, **ranked)[1], "channel_multiple")
    assert note.startswith("Nothing will be removed from Conv_6: "), "a target may take more than the plan's ratio"
    assert not about(prune(0.5, {"Conv_6": 0.0}, channel_multiple=16)[1], "channel_multiple")
    schedule = methods["schedule.agp"]
    rounded = schedule(schedule.Parameters(channel_multiple=64))
    assert about(rounded.check(funnel, plan_of(funnel, 0.5)), "Nothing will be removed at all from Conv_0")


def test_scores_without_a_common_scale_are_said_where_layers_are_compared(prune: Callable) -> None:
    plain = {"scope": "global", "normalisation": "none"}
    for result, warned in (prune(0.25, **plain), prune(0.25, name="prune.geometric_median", **plain)):
        for notes in (result.notes, warned):
            (note,) = about(notes, "no common scale")
            assert "across layers without normalisation" in note
            assert note.endswith("Set normalisation to auto, mean or max.")
    for quiet in (
        prune(0.25),
        prune(0.25, scope="global"),
        prune(0.25, scope="global", normalisation="mean"),
        prune(0.25, scope="global", name="prune.random", normalisation="none"),
        prune(0.25, {"Conv_*": 0.25}, scope="global"),
    ):
        assert not about((*quiet[0].notes, *quiet[1]), "no common scale")


def test_layers_are_compared_by_their_mean_unless_scores_are_comparable(prune: Callable) -> None:
    def removed(**given: str) -> object:
        return prune(0.25, scope="global", **given)[0].details["groups"]

    assert removed() == removed(normalisation="mean") != removed(normalisation="none")
    assert removed(name="prune.random") == removed(name="prune.random", normalisation="none")


def test_schedules_warn_alike(methods: dict[str, type[Method]], funnel: ModelGraph, plan_of: Plans) -> None:
    schedule = methods["schedule.agp"]
    ranked = schedule(schedule.Parameters(scope="global", per_cost=True, normalisation="none"))
    assert about(ranked.check(funnel, plan_of(funnel, 0.25)), "compares scores of l1 across layers")
    by_loss = schedule(schedule.Parameters(scope="global", criterion="taylor", normalisation="none"))
    assert not about(by_loss.check(funnel, plan_of(funnel, 0.25)), "no common scale")
    alone = schedule(schedule.Parameters(per_cost=True))
    assert about(alone.check(funnel, plan_of(funnel, 0.25)), "Per cost has no effect")


def test_per_cost_without_a_ranking_across_layers_is_said(prune: Callable) -> None:
    assert about(prune(0.25, per_cost=True)[1], "Per cost has no effect: it ranks channels across layers")
    assert not about(prune(0.25, per_cost=True, scope="global", normalisation="mean")[1], "Per cost")


@pytest.mark.parametrize("normalisation", ["mean", "standard"])
def test_ranked_per_cost_a_target_takes_fewer_channels_and_keeps_more_importance(
    prune: Callable, funnel: ModelGraph, normalisation: str
) -> None:
    given = {"scope": "global", "target": "macs", "target_ratio": 0.6, "normalisation": normalisation}
    removed, importance = {}, {}
    for per_cost in (False, True):
        result, _ = prune(per_cost=per_cost, **given)
        assert graph_cost(result.graph).macs <= 0.6 * graph_cost(funnel).macs
        groups = result.details["groups"]
        removed[per_cost] = sum(group["removed_units"] for group in groups.values())
        # The middle of each bin stands for its scores, counted from the lowest of all, as standard scores have no zero.
        bins = [group["importance"] for group in groups.values()]
        zero = min(0.0, *(edge for found in bins for edge in found["edges"]))
        importance[per_cost] = sum(
            np.dot(found["kept"], np.convolve(found["edges"], [0.5, 0.5], "valid") - zero) for found in bins
        )
    assert removed[True] < removed[False]
    assert importance[True] > importance[False]


def test_what_a_channel_saves_depends_on_the_target(prune: Callable) -> None:
    def shares(target: str, ratio: float) -> dict[str, float]:
        given = {"scope": "global", "target": target, "target_ratio": ratio, "normalisation": "mean"}
        groups = prune(per_cost=True, **given)[0].details["groups"]
        return {name: group["removed_units"] / group["units"] for name, group in groups.items()}

    macs, params = shares("macs", 0.7), shares("params", 0.7)
    assert macs["Conv_0"] > params["Conv_0"], "the first layer has few weights and many multiplications"
    assert params["Conv_2"] > macs["Conv_2"], "behind the stride it is the other way round"
    assert shares("size", 0.7) == params
