"""Channel groups: what goes together, what can't go and why, and what removal does to operators around it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.removal import feeds, removed_against_masked, run
from workbench.domain.errors import RecipeError
from workbench.graph.channels import blocked_layers, channel_groups, group_reports, layer_groups
from workbench.graph.model import ModelGraph
from workbench.graph.passes.remove_channels import remove_channels
from workbench.graph.storage import open_model

Build = Callable[..., ModelGraph]
HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def members(graph: ModelGraph, group: int) -> set[tuple[str, str]]:
    return {(member.layer, member.axis) for member in channel_groups(graph)[group].members}


def test_residual_add_couples_two_layers(small_cnn: ModelGraph) -> None:
    first, head = channel_groups(small_cnn)
    assert first.units == first.channels == 8
    assert first.unit == 1
    assert members(small_cnn, 0) == {("Conv_0", "out"), ("Conv_2", "in"), ("Conv_2", "out"), ("Gemm_7", "in")}
    assert not head.prunable
    assert head.reason == "reaches graph output 'y'"
    assert blocked_layers(small_cnn) == {"Gemm_7": "reaches graph output 'y'"}


def test_removal_slices_every_member_and_leaves_the_original(small_cnn: ModelGraph) -> None:
    before = {name: small_cnn.constant(name) for name in small_cnn.initializers}
    smaller = remove_channels(small_cnn, {"Conv_0": [1, 6]})
    kept = [0, 2, 3, 4, 5, 7]
    assert np.array_equal(smaller.constant("w1"), before["w1"][kept])
    assert np.array_equal(smaller.constant("w2"), before["w2"][kept][:, kept])
    assert np.array_equal(smaller.constant("b2"), before["b2"][kept])
    assert np.array_equal(smaller.constant("w3"), before["w3"][:, kept])
    assert smaller.constant("b3").shape == (5,)
    assert small_cnn.constant("w1").shape == (8, 3, 3, 3)
    assert smaller.value("r2").shape[1] == 6


def test_resnet20_residual_streams_span_three_stages(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    groups = channel_groups(graph)
    stream = max(groups, key=lambda group: len(group.members))
    widths = {sum(map(len, member.positions)) for member in stream.out_members}
    assert widths == {16, 32, 64}
    assert stream.units == 64
    assert sorted(len(stratum) for stratum in stream.strata) == [16, 16, 32]
    narrow = next(member for member in stream.out_members if sum(map(len, member.positions)) == 16)
    wide = next(member for member in stream.out_members if sum(map(len, member.positions)) == 64)
    shift = {at[0] - own[0] for own, at in zip(narrow.positions, wide.positions, strict=True) if own}
    assert shift == {8 + 16}
    assert [group.id for group in groups if not group.prunable] == [groups[-1].id]


@pytest.mark.parametrize("name", ["resnet20_cifar10_bn.onnx", "resnet20_cifar10_bnclean.onnx"])
def test_every_convolution_of_resnet20_is_prunable(shared: Path, name: str) -> None:
    graph = open_model(shared / "data" / "models" / name)
    blocked = blocked_layers(graph)
    assert not [node.name for node in graph.nodes if node.op == "Conv" and node.name in blocked]
    assert list(blocked.values()) == ["reaches graph output 'logits'"]


def test_depthwise_layer_passes_channels_on(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,3,6,6] x) => (float[1,2,6,6] y) {
            a = Conv (x, wa)
            b = Conv (x, wb)
            c = Concat <axis = 1> (a, b)
            d = Conv <group = 7> (c, wd)
            y = Conv (d, wy)
        }""",
        {"wa": weight(4, 3, 1, 1), "wb": weight(3, 3, 1, 1), "wd": weight(7, 1, 1, 1), "wy": weight(2, 7, 1, 1)},
    )
    groups = channel_groups(graph)
    assert [group.id for group in groups] == ["Conv_0", "Conv_1", "Conv_4"]
    assert [group.id for group in layer_groups(graph)["Conv_3"]] == ["Conv_0", "Conv_1"]
    smaller = remove_channels(graph, {"Conv_0": [0], "Conv_1": [1, 2]})
    assert smaller.node("Conv_3").attribute("group") == 4
    assert removed_against_masked(graph, {"Conv_0": [0], "Conv_1": [1, 2]}, 0) < 1e-5


def test_grouped_convolution_loses_one_channel_of_every_group(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,3,6,6] x) => (float[1,2,6,6] y) {
            a = Conv (x, wa)
            b = Conv <group = 4> (a, wb)
            y = Conv (b, wy)
        }""",
        {"wa": weight(8, 3, 1, 1), "wb": weight(12, 2, 1, 1), "wy": weight(2, 12, 1, 1)},
    )
    first, second, _ = channel_groups(graph)
    assert (first.units, first.unit, first.channels) == (2, 4, 8)
    assert (second.units, second.unit, second.channels) == (3, 4, 12)
    assert first.members[0].positions[1] == (1, 3, 5, 7)
    smaller = remove_channels(graph, {first.id: [1], second.id: [0]})
    assert smaller.constant("wb").shape == (8, 1, 1, 1)
    assert smaller.node("Conv_1").attribute("group") == 4


def test_shared_vector_is_copied_and_shared_weight_stays_shared(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,4,6,6] x) => (float[1,2,6,6] y) {
            a = Conv (x, w, bias)
            b = Relu (a)
            c = Conv (x, v, bias)
            d = Relu (c)
            e = Conv (b, u)
            f = Conv (d, u)
            g = Add (e, f)
            y = Conv (g, wy)
        }""",
        {
            "w": weight(4, 4, 1, 1),
            "v": weight(4, 4, 1, 1, seed=1),
            "bias": weight(4),
            "u": weight(5, 4, 1, 1),
            "wy": weight(2, 5, 1, 1),
        },
    )
    first = channel_groups(graph)[0]
    assert {(member.layer, member.axis) for member in first.members} == {
        ("Conv_0", "out"),
        ("Conv_2", "out"),
        ("Conv_4", "in"),
        ("Conv_5", "in"),
    }
    removal = {first.id: [2]}
    assert remove_channels(graph, removal).constant("u").shape == (5, 3, 1, 1)
    assert removed_against_masked(graph, removal, 0) < 1e-5


def test_vector_shared_by_independent_layers_does_not_couple_them(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,4,6,6] x) => (float[1,2,6,6] y) {
            a = Conv (x, w, bias)
            b = Relu (a)
            c = Conv (b, v, bias)
            y = Conv (c, wy)
        }""",
        {"w": weight(4, 4, 1, 1), "v": weight(4, 4, 1, 1, seed=1), "bias": weight(4), "wy": weight(2, 4, 1, 1)},
    )
    assert [group.units for group in channel_groups(graph)] == [4, 4, 2]
    removal = {"Conv_0": [0], "Conv_2": [1, 3]}
    smaller = remove_channels(graph, removal)
    assert smaller.constant(smaller.node("Conv_0").inputs[2]).shape == (3,)
    assert smaller.constant(smaller.node("Conv_2").inputs[2]).shape == (2,)
    assert removed_against_masked(graph, removal, 0) < 1e-5


def test_attention_loses_whole_heads_or_the_same_dimension_of_every_head(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,5,6] x) => (float[1,5,6] y) {
            q0 = MatMul (x, wq)
            q1 = Reshape (q0, heads)
            q = Transpose <perm = [0,2,1,3]> (q1)
            k0 = MatMul (x, wk)
            k1 = Reshape (k0, heads)
            k = Transpose <perm = [0,2,3,1]> (k1)
            v0 = MatMul (x, wv)
            v1 = Reshape (v0, heads)
            v = Transpose <perm = [0,2,1,3]> (v1)
            s = MatMul (q, k)
            p = Softmax (s)
            o = MatMul (p, v)
            o1 = Transpose <perm = [0,2,1,3]> (o)
            o2 = Reshape (o1, flat)
            y = MatMul (o2, wo)
        }""",
        {
            "wq": weight(6, 8),
            "wk": weight(6, 8, seed=1),
            "wv": weight(6, 8, seed=2),
            "wo": weight(8, 6),
            "heads": np.asarray([0, 0, 2, 4], dtype=np.int64),
            "flat": np.asarray([0, 0, 8], dtype=np.int64),
        },
    )
    heads, _ = channel_groups(graph)
    assert (heads.units, heads.unit) == (2, 4)
    assert [(member.layer, member.axis) for member in heads.members] == [
        ("MatMul_0", "out"),
        ("MatMul_3", "out"),
        ("MatMul_6", "out"),
        ("MatMul_14", "in"),
    ]
    assert remove_channels(graph, {heads.id: [1]}).value("o2").shape == (1, 5, 4)
    assert removed_against_masked(graph, {heads.id: [0]}, 0) < 1e-5

    keys, values, _ = channel_groups(graph, "dimension")
    assert (keys.units, keys.unit) == (4, 2)
    assert {member.layer for member in keys.members} == {"MatMul_0", "MatMul_3"}
    removal = {keys.id: [1], values.id: [0, 2]}
    assert remove_channels(graph, removal, "dimension").value("o2").shape == (1, 5, 4)
    assert removed_against_masked(graph, removal, 0, "dimension") < 1e-5


def test_dequantized_weights_lose_channels_with_their_scales(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,3,6,6] x) => (float[1,2,6,6] y) {
            w = DequantizeLinear <axis = 0> (wq, scale, zero)
            a = Conv (x, w)
            qa = QuantizeLinear (a, step, point)
            da = DequantizeLinear (qa, step, point)
            y = Conv (da, wy)
        }""",
        {
            "wq": np.arange(12, dtype=np.int8).reshape(4, 3, 1, 1),
            "scale": np.asarray([0.1, 0.2, 0.3, 0.4], dtype=np.float32),
            "zero": np.zeros(4, dtype=np.int8),
            "step": np.float32(0.05),
            "point": np.uint8(128),
            "wy": weight(2, 4, 1, 1),
        },
    )
    group = channel_groups(graph)[0]
    assert group.prunable
    assert group.members[0].weight == "wq"
    smaller = remove_channels(graph, {group.id: [1]})
    assert np.allclose(smaller.constant("scale"), [0.1, 0.3, 0.4])
    assert removed_against_masked(graph, {group.id: [1]}, 0) < 1e-5


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("s = LRN <size = 3> (a) y = Conv (s, wy)", "node 'LRN_1' (LRN) normalises each with its neighbours"),
        ("s = ArgMax <axis = 1> (a) t = Cast <to = 1> (s) y = Conv (t, w1)", "node 'ArgMax_1' (ArgMax) counts them"),
        ("s = Add (a, x) y = Conv (s, wy)", "reaches graph input 'x'"),
        ("s = NonZero (a) t = Cast <to = 1> (s) y = Identity (t)", "node 'NonZero_1' (NonZero) can't be seen through"),
    ],
)
def test_blocked_groups_name_the_node(graph_from: Build, body: str, reason: str) -> None:
    graph = graph_from(
        HEADER + "net (float[1,4,6,6] x) => (float y) { a = Conv (x, wa) " + body + " }",
        {"wa": weight(4, 4, 1, 1), "wy": weight(2, 4, 1, 1), "w1": weight(2, 1, 1, 1)},
    )
    assert channel_groups(graph)[0].reason == reason
    assert group_reports(graph)[0].reason == reason


def test_computing_with_the_number_of_channels_blocks_them(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[batch,4,h,6] x) => (float[batch,2,h,6] y) {
            a = Conv (x, wa)
            shape = Shape (a)
            count = Size (a)
            f = Cast <to = 1> (count)
            b = Div (a, f)
            y = Conv (b, wy)
        }""",
        {"wa": weight(4, 4, 1, 1), "wy": weight(2, 4, 1, 1)},
    )
    assert "counts them" in (channel_groups(graph)[0].reason or "")


def test_summing_over_channels_keeps_them_prunable(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,4,6,6] x) => (float[1,1,6,6] y) {
            a = Conv (x, wa)
            b = Sigmoid (a)
            y = ReduceSum <keepdims = 1> (b, axes)
        }""",
        {"wa": weight(4, 4, 1, 1), "axes": np.asarray([1], dtype=np.int64)},
    )
    assert removed_against_masked(graph, {"Conv_0": [0, 2]}, 0) < 1e-5


def test_locked_units_stay_while_others_go(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,4,6,6] x) => (float[1,2,6,6] y, float[1,1,6,6] z) {
            a = Conv (x, wa)
            z = Slice (a, start, end, axis)
            y = Conv (a, wy)
        }""",
        {
            "wa": weight(4, 4, 1, 1),
            "wy": weight(2, 4, 1, 1),
            "start": np.asarray([2], dtype=np.int64),
            "end": np.asarray([3], dtype=np.int64),
            "axis": np.asarray([1], dtype=np.int64),
        },
    )
    group = channel_groups(graph)[0]
    assert group.prunable
    assert group.locked == {2}
    assert removed_against_masked(graph, {group.id: [0, 3]}, 0) < 1e-5
    with pytest.raises(RecipeError, match="unit 2 can't be removed: reaches graph output 'z'"):
        remove_channels(graph, {group.id: [2]})


def test_bad_removals_are_refused(small_cnn: ModelGraph) -> None:
    with pytest.raises(RecipeError, match="no channel group 'nothing'"):
        remove_channels(small_cnn, {"nothing": [0]})
    with pytest.raises(RecipeError, match="no unit 8"):
        remove_channels(small_cnn, {"Conv_0": [8]})
    with pytest.raises(RecipeError, match="lose all of its channels"):
        remove_channels(small_cnn, {"Conv_0": range(8)})
    with pytest.raises(RecipeError, match="reaches graph output 'y'"):
        remove_channels(small_cnn, {"Gemm_7": [0]})


def test_a_narrow_stage_can_not_be_emptied_by_a_wide_one(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    stream = max(channel_groups(graph), key=lambda group: len(group.members))
    narrow = min(stream.out_members, key=lambda member: sum(map(len, member.positions)))
    units = [unit for unit, at in enumerate(narrow.positions) if at]
    with pytest.raises(RecipeError, match="lose all of its channels"):
        remove_channels(graph, {stream.id: units})


def test_removal_of_nothing_changes_nothing(small_cnn: ModelGraph) -> None:
    inputs = feeds(small_cnn, 0)
    assert np.array_equal(run(remove_channels(small_cnn, {}), inputs)[0], run(small_cnn, inputs)[0])


def test_five_thousand_nodes_are_one_stream(graph_from: Build) -> None:
    lines = ["c0 = Conv (x, w0)"]
    weights = {"w0": weight(16, 3, 1, 1), "w": weight(16, 16, 1, 1)}
    for at in range(0, 4998, 3):
        lines += [f"r{at} = Relu (c{at})", f"k{at} = Conv (r{at}, w{at + 3})", f"c{at + 3} = Add (k{at}, c{at})"]
        weights[f"w{at + 3}"] = weights["w"]
    lines.append(f"y = Conv (c{at + 3}, w)")
    graph = graph_from(HEADER + "net (float[1,3,4,4] x) => (float[1,16,4,4] y) {\n" + "\n".join(lines) + "\n}", weights)
    assert len(graph.nodes) == 5000
    groups = channel_groups(graph)
    assert len(groups[0].members) > 3000


def test_the_garbage_collector_is_left_as_it_was(graph_from: Build) -> None:
    text = HEADER + "net (float[n,3,8,8] x) => (float[n,2,8,8] y) { y = Conv <pads = [1,1,1,1]> (x, w) }"
    enabled = gc.isenabled()
    try:
        for switch, state in ((gc.disable, False), (gc.enable, True)):
            switch()
            channel_groups(graph_from(text, {"w": weight(2, 3, 3, 3)}))
            assert gc.isenabled() is state
    finally:
        if enabled:
            gc.enable()
