from __future__ import annotations

import numpy as np

from workbench.engines.inference_ort import open_session
from workbench.graph.passes.merge_slices import merge_slices

WEIGHTS = {
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "three": np.array([3]),
    "last": np.array([np.iinfo(np.int64).max]),
    "back": np.array([-1]),
}


def test_slices_along_different_axes_become_one(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,5,8,8] x) => (float[n,c,h,w] y) {
            a = Slice (x, zero, last, two, two)
            b = Slice (a, one, back, three, two)
            y = Slice (b, one, three, one)
        }""",
        WEIGHTS,
    )
    merged = merge_slices(graph)
    assert [node.name for node in merged.nodes] == ["Slice_2"]
    x = {"x": np.random.default_rng(0).normal(size=(2, 5, 8, 8)).astype(np.float32)}
    np.testing.assert_array_equal(open_session(merged).run(x)["y"], open_session(graph).run(x)["y"])


def test_slices_that_belong_apart_stay(graph_from):
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,8] x) => (float[n,a] y, float[n,b] z) {
            s = Slice (x, one, last, one)
            y = Slice (s, one, last, one)
            t = Slice (x, zero, three, one)
            u = Neg (t)
            z = Slice (t, zero, one, zero)
        }""",
        WEIGHTS,
    )
    assert merge_slices(graph) is graph
