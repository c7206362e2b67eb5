from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import UnsupportedGraphError
from workbench.engines.inference_ort import open_session
from workbench.graph.passes.pad_channels import pad_input_channels, pad_output_channels, paddable_outputs


def test_padded_convolutions_compute_the_same(small_cnn):
    padded = pad_input_channels(small_cnn, ["Conv_0", "Conv_2"])
    assert padded.constant("w1").shape == (8, 4, 3, 3)
    assert padded.constant("w2").shape == (8, 8, 3, 3)
    assert small_cnn.constant("w1").shape == (8, 3, 3, 3)
    x = {"x": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)}
    expected = open_session(small_cnn).run(x)["y"]
    np.testing.assert_allclose(open_session(padded).run(x)["y"], expected, atol=1e-5)


def test_what_is_not_a_plain_convolution_is_refused(small_cnn):
    with pytest.raises(UnsupportedGraphError, match="Gemm_7"):
        pad_input_channels(small_cnn, ["Gemm_7"])


CHAIN = """<ir_version: 9, opset_import: ["" : 17]>
net (float[n,3,8,8] x) => (float[n,4,6,6] y, float[n,2,8,8] z) {
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    r = Relu (a)
    c = Conv <pads = [1,1,1,1]> (r, w2)
    d = Conv (r, w3)
    s = Sigmoid (c)
    y = Conv (d, w4)
    z = Conv <pads = [1,1,1,1]> (s, w5)
}"""


def test_padded_outputs_are_zeros_that_nobody_counts(graph_from):
    rng = np.random.default_rng(0)
    shapes = {"w1": (5, 3, 3, 3), "b1": (5,), "w2": (6, 5, 3, 3), "w3": (7, 5, 3, 3), "w4": (4, 7, 1, 1)}
    shapes["w5"] = (2, 6, 3, 3)
    graph = graph_from(CHAIN, {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})
    # Sigmoid makes 0.5 of the zeros, and the last two are the graph's own outputs.
    assert paddable_outputs(graph) == {"Conv_0": ("Conv_2", "Conv_3"), "Conv_3": ("Conv_5",)}
    padded = pad_output_channels(graph, ["Conv_0", "Conv_3"])
    assert padded.constant("w1").shape == (16, 3, 3, 3)
    assert padded.constant("b1").shape == (16,)
    assert padded.constant("w2").shape == (6, 16, 3, 3)
    assert padded.constant("w3").shape == (16, 16, 3, 3)
    assert padded.constant("w4").shape == (4, 16, 1, 1)
    assert padded.value("r").shape[1:] == (16, 8, 8)
    x = {"x": rng.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    expected, found = open_session(graph).run(x), open_session(padded).run(x)
    for name in ("y", "z"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)
    with pytest.raises(UnsupportedGraphError, match="Conv_2"):
        pad_output_channels(graph, ["Conv_2"])
