"""Merged and split axes: chains that only merge to split again are rewritten, exactly; others stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.fakes.removal import run
from workbench.graph.model import ModelGraph
from workbench.graph.passes.straighten_reshapes import regroup, straighten_reshapes

Build = Callable[..., ModelGraph]
HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


def ints(*numbers: int) -> np.ndarray:
    return np.asarray(numbers, dtype=np.int64)


def operators(graph: ModelGraph) -> list[str]:
    return [node.op for node in graph.nodes]


@pytest.mark.parametrize(
    ("sizes", "shape", "expected"),
    [
        (("b", 7, 12), ("b", 7, 3, 4), [("b",), (7,), (3,), (4,)]),
        ((7, "b", 12), (7, None, 4), [(7,), ("b", 3), (4,)]),
        (("b", 3, "t", 4), (None, "t", 4), [("b", 3), ("t",), (4,)]),
        (("b", 6), ("b", 4, None), None),
        (("b", 6), (None, None), None),
        ((2, 6), (4, 3), [(2, 2), (3,)]),
        ((2, 6), (5, None), None),
    ],
)
def test_axes_are_told_as_products(sizes: tuple, shape: tuple, expected: list | None) -> None:
    assert regroup(sizes, shape) == expected


def test_heads_are_split_without_merging_them_with_the_batch(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[5,batch,12] x) => (float[batch,3,5,4] y) {
            merged = Reshape (x, first)
            turned = Transpose <perm = [1,0,2]> (merged)
            split = Reshape (turned, second)
            y = Relu (split)
        }""",
        {"first": ints(5, -1, 4), "second": ints(-1, 3, 5, 4)},
    )
    straight = straighten_reshapes(graph)
    assert operators(straight) == ["Reshape", "Transpose", "Relu"]
    assert straight.nodes[1].attribute("perm") == (1, 2, 0, 3)
    assert straight.nodes[1].outputs == ("split",)
    inputs = {"x": np.random.default_rng(0).normal(size=(5, 2, 12)).astype(np.float32)}
    assert np.array_equal(run(straight, inputs)[0], run(graph, inputs)[0])


def test_keys_turned_through_a_merged_axis_need_one_transposition(graph_from: Build) -> None:
    graph = graph_from(
        HEADER
        + """net (float[batch,3,time,4] x) => (float[batch,3,4,time] y) {
            shape = Shape (x)
            three = Shape <start = 2, end = 3> (x)
            flat = Concat <axis = 0> (minus, three, four)
            merged = Reshape (x, flat)
            turned = Transpose <perm = [0,2,1]> (merged)
            ahead = Shape <start = 0, end = 2> (x)
            back = Concat <axis = 0> (ahead, four, three)
            split = Reshape (turned, back)
            y = Relu (split)
        }""",
        {"minus": ints(-1), "four": ints(4)},
    )
    straight = straighten_reshapes(graph)
    assert operators(straight) == ["Transpose", "Relu"]
    inputs = {"x": np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)}
    assert np.array_equal(run(straight, inputs)[0], run(graph, inputs)[0])


@pytest.mark.parametrize(("last", "target"), [("y = Add (c, c)", ints(-1, 12)), ("y = Add (c, a)", ints(5, -1, 4))])
def test_other_chains_stay(graph_from: Build, last: str, target: np.ndarray) -> None:
    graph = graph_from(
        HEADER
        + """net (float[5,batch,12] x) => (float y) {
            a = Reshape (x, s)
            b = Transpose <perm = [1,0,2]> (a)
            c = Reshape (b, t)
            """
        + last
        + "}",
        {"s": ints(5, -1, 4), "t": target},
    )
    assert straighten_reshapes(graph) is graph
