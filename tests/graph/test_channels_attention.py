"""Attention: heads as units whatever form it is written in, and why heads can't go where they can't."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.fakes.removal import random_removal, removed_against_masked
from workbench.graph.channels import ChannelGroup, channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.passes.remove_channels import remove_channels

Build = Callable[..., ModelGraph]
HEADER = '<ir_version: 11, opset_import: ["" : 23, "com.microsoft" : 1]>\n'


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def axes(group: ChannelGroup) -> list[tuple[str, str]]:
    return [(member.layer, member.axis) for member in group.members]


def test_one_node_loses_key_heads_with_the_queries_that_read_them(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,5,6] x) => (float[1,5,6] y) {
            q = MatMul (x, wq)
            k = MatMul (x, wk)
            v = MatMul (x, wv)
            o = Attention <q_num_heads = 6, kv_num_heads = 3> (q, k, v)
            y = MatMul (o, wo)
        }""",
        {
            "wq": weight(6, 24),
            "wk": weight(6, 12, seed=1),
            "wv": weight(6, 9, seed=2),
            "wo": weight(18, 6, seed=3),
        },
    )
    heads, _ = channel_groups(graph)
    assert (heads.units, heads.unit) == (3, 8)
    assert axes(heads) == [("MatMul_0", "out"), ("MatMul_1", "out"), ("MatMul_2", "out"), ("MatMul_4", "in")]
    smaller = remove_channels(graph, {heads.id: [1]})
    node = smaller.node("Attention_3")
    assert (node.attribute("q_num_heads"), node.attribute("kv_num_heads")) == (4, 2)
    assert removed_against_masked(graph, {heads.id: [0, 2]}, 0) < 1e-5


def test_one_node_with_heads_as_an_axis(graph_from: Build) -> None:
    text = """net (float[1,5,6] x) => (float[1,5,6] y) {
        a = MatMul (x, wq)
        b = Reshape (a, heads)
        q = Transpose <perm = [0,2,1,3]> (b)
        o = Attention <SCALE> (q, q, q)
        p = Transpose <perm = [0,2,1,3]> (o)
        f = Reshape (p, flat)
        y = MatMul (f, wo)
    }"""
    weights = {
        "wq": weight(6, 8),
        "wo": weight(8, 6, seed=1),
        "heads": np.asarray([0, 0, 2, 4], dtype=np.int64),
        "flat": np.asarray([0, 0, 8], dtype=np.int64),
    }
    free, fixed = (graph_from(HEADER + text.replace("<SCALE>", scale), weights) for scale in ("", "<scale = 0.4>"))
    reasons = [channel_groups(graph, "dimension")[0].reason for graph in (free, fixed)]
    assert reasons == ["node 'Attention_3' (Attention) scales by their number", None]
    for seed in range(3):
        removal = random_removal(channel_groups(fixed, "dimension"), seed)
        assert removed_against_masked(fixed, removal, seed, "dimension") < 1e-5


def test_a_cache_of_the_past_keeps_heads(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[1,5,6] x, float[1,2,3,4] past) => (float[1,5,6] y, float[1,2,8,4] next) {
            k0 = MatMul (x, wk)
            k1 = Reshape (k0, heads)
            k2 = Transpose <perm = [0,2,1,3]> (k1)
            next = Concat <axis = 2> (past, k2)
            s0 = MatMul (k2, turned)
            turned = Transpose <perm = [0,1,3,2]> (next)
            s1 = Softmax (s0)
            o0 = MatMul (s1, next)
            o1 = Transpose <perm = [0,2,1,3]> (o0)
            o2 = Reshape (o1, flat)
            y = MatMul (o2, wo)
        }""".replace(
            """s0 = MatMul (k2, turned)
            turned = Transpose <perm = [0,1,3,2]> (next)""",
            """turned = Transpose <perm = [0,1,3,2]> (next)
            s0 = MatMul (k2, turned)""",
        ),
        {
            "wk": weight(6, 8),
            "wo": weight(8, 6, seed=1),
            "heads": np.asarray([0, 0, 2, 4], dtype=np.int64),
            "flat": np.asarray([0, 0, 8], dtype=np.int64),
        },
    )
    assert channel_groups(graph)[0].reason == "reaches graph input 'past'"


@pytest.mark.parametrize("bias", ["", ", b"])
def test_contributed_attention(graph_from: Build, bias: str) -> None:
    graph = graph_from(
        HEADER
        + f"""net (float[1,5,6] x) => (float[1,5,6] y) {{
            q = MatMul (x, wq)
            k = MatMul (x, wk)
            v = MatMul (x, wv)
            o = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v{bias})
            y = MatMul (o, wo)
        }}""",
        {
            "wq": weight(6, 8),
            "wk": weight(6, 8, seed=1),
            "wv": weight(6, 8, seed=2),
            "wo": weight(8, 6, seed=3),
            **({"b": weight(24, seed=4)} if bias else {}),
        },
    )
    heads, _ = channel_groups(graph)
    assert (heads.units, heads.unit) == (2, 4)
    assert remove_channels(graph, {heads.id: [0]}).node("MultiHeadAttention_3").attribute("num_heads") == 1
    assert removed_against_masked(graph, {heads.id: [1]}, 0) < 1e-5
