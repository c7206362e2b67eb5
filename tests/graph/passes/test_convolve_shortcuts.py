from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import open_session
from workbench.graph.passes.convolve_shortcuts import PaddedShortcut, convolve_shortcuts, padded_shortcuts

CONSTANTS = {
    "starts": np.array([0, 0]),
    "late": np.array([1, 0]),
    "ends": np.array([np.iinfo(np.int64).max, 7]),
    "axes": np.array([2, 3]),
    "steps": np.array([2, 3]),
    "channel": np.array([1, 2]),
    "margins": np.array([0, 2, 0, 0, 0, 1, 0, 0]),
    "frame": np.array([0, 2, 1, 0, 0, 1, 0, 0]),
    "two": np.array(2.0, np.float32),
}
NET = """<ir_version: 9, opset_import: ["" : 17]>
net (float[n,4,9,7] x) => (float[n,c,h,w] y) {{
    r = Relu (x)
    s = Slice (r, {starts}, ends, {axes}, steps)
    p = Pad ({pad})
    y = Neg (p)
}}"""


def net(graph_from, starts="starts", axes="axes", pad="s, margins"):
    return graph_from(NET.format(starts=starts, axes=axes, pad=pad), CONSTANTS)


def test_a_padded_shortcut_is_one_convolution(graph_from):
    graph = net(graph_from)
    (found,) = padded_shortcuts(graph)
    assert found == PaddedShortcut("Slice_1", "Pad_2", (2, 3), in_channels=4, before=2, after=1)
    convolved = convolve_shortcuts(graph, [found])
    assert [(node.name, node.op) for node in convolved.nodes] == [
        ("Relu_0", "Relu"),
        ("Pad_2", "Conv"),
        ("Neg_3", "Neg"),
    ]
    assert convolved.node("Pad_2").outputs == ("p",)
    assert [node.op for node in graph.nodes] == ["Relu", "Slice", "Pad", "Neg"]
    x = {"x": np.random.default_rng(0).normal(size=(2, 4, 9, 7)).astype(np.float32)}
    np.testing.assert_array_equal(open_session(convolved).run(x)["y"], open_session(graph).run(x)["y"])


def test_a_slice_that_others_read_stays_for_them(graph_from):
    text = NET.format(starts="starts", axes="axes", pad="s, margins").replace("y = Neg (p)", "y = Neg (p)  z = Abs (s)")
    graph = graph_from(text.replace("(float[n,c,h,w] y)", "(float[n,c,h,w] y, float[n,a,b,d] z)"), CONSTANTS)
    convolved = convolve_shortcuts(graph, padded_shortcuts(graph))
    assert [node.op for node in convolved.nodes] == ["Relu", "Slice", "Conv", "Neg", "Abs"]


@pytest.mark.parametrize(
    "other",
    [{"starts": "late"}, {"axes": "channel"}, {"pad": "s, frame"}, {"pad": "s, margins, two"}, {"pad": "r, margins"}],
    ids=["not from the first pixel", "channels sliced", "pixels padded", "not with zeros", "no slice"],
)
def test_what_a_convolution_cannot_do_is_no_shortcut(graph_from, other):
    assert padded_shortcuts(net(graph_from, **other)) == ()
