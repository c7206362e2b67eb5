from __future__ import annotations

import numpy as np
import pytest

from workbench.engines.inference_ort import open_session
from workbench.graph.passes.experimental_operators import standard_operators
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.storage import open_model

TEXT = """<ir_version: 5, opset_import: ["" : {opset}]>
net (float[n,2,3,3] x) => (float[n,2,3,3] y, float[n,2,3,3] s) {{
    s = ImageScaler <scale = 2.0, bias = [1.0, -3.0]> (x)
    y = Affine <alpha = 0.5, beta = 4.0> (s)
}}"""


def test_scaling_operators_become_standard_ones_and_keep_their_values(graph_from):
    graph = graph_from(TEXT.format(opset=8), {})
    x = {"x": np.random.default_rng(0).normal(size=(2, 2, 3, 3)).astype(np.float32)}
    expected = x["x"] * 2 + np.array([1.0, -3.0], np.float32).reshape(1, 2, 1, 1)
    for made in (standard_operators(graph), upgrade_opset(graph, 17)):
        assert [node.op for node in made.nodes] == ["Mul", "Add", "Mul", "Add"]
        found = open_session(made).run(x)
        np.testing.assert_allclose(found["s"], expected, rtol=1e-6)
        np.testing.assert_allclose(found["y"], expected * 0.5 + 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "rows", "columns"),
    [
        ("border = [1,2,3,0]", slice(2, 8), slice(1, 5)),
        ("border = [0,0,0,0]", slice(0, 8), slice(0, 8)),
        ("border = [1,2,0,0], scale = [4,3]", slice(2, 6), slice(1, 4)),
    ],
)
def test_crops_become_slices(graph_from, attributes, rows, columns):
    graph = graph_from(
        f"""<ir_version: 5, opset_import: ["" : 8]>
        net (float[n,2,8,8] x) => (float[n,2,h,w] y) {{ y = Crop <{attributes}> (x) }}""",
        {},
    )
    x = {"x": np.random.default_rng(0).normal(size=(2, 2, 8, 8)).astype(np.float32)}
    for made in (graph, upgrade_opset(graph, 17)):
        np.testing.assert_array_equal(open_session(made).run(x)["y"], x["x"][:, :, rows, columns])


@pytest.mark.parametrize("opset", [6, 17])
def test_what_needs_no_change_or_can_not_broadcast_stays(graph_from, small_cnn, opset):
    graph = graph_from(TEXT.format(opset=6), {}) if opset == 6 else small_cnn
    assert standard_operators(graph) is graph


def test_a_model_of_the_zoo_that_has_one_is_raised(shared):
    graph = open_model(shared / "data/zoo/style_candy_op7.onnx")
    raised = upgrade_opset(graph, 13)
    x = {graph.inputs[0].name: np.random.default_rng(0).uniform(0, 255, (1, 3, 720, 720)).astype(np.float32)}
    (before,), (after,) = (open_session(each, threads=1).run(x).values() for each in (graph, raised))
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=0.05)
