"""Shapes and what is known before a graph runs: open batch sizes are carried along, other open sizes are asked for."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
from onnx import parser

from workbench.domain.errors import BadInputError
from workbench.graph.model import ModelGraph
from workbench.graph.repairs import repair_model
from workbench.graph.shape_arithmetic import broadcast, resolve_reshape
from workbench.graph.shapes import fixed_batch, infer_shapes, open_dimensions, require_dimensions, static_values
from workbench.graph.storage import open_model


def graph_of(body: str, opset: int = 17) -> ModelGraph:
    model = ir.from_proto(parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{body}'))
    repair_model(model, "text")
    return ModelGraph(model)


# What an exporter writes for x.view(x.shape[0], -1) and x.new_zeros(x.shape[0], 3).
VIEW = """g (float[batch, 8, 2, 2] x) => (float[n, m] y, float[k, l] z)
<int64 zero = {0}, int64[1] axis = {0}, int64[1] minus = {-1}, int64[1] three = {3}> {
    s = Shape(x)
    b = Gather(s, zero)
    b1 = Unsqueeze(b, axis)
    target = Concat<axis = 0>(b1, minus)
    y = Reshape(x, target)
    shape = Concat<axis = 0>(b1, three)
    z = ConstantOfShape(shape)
}"""


def test_an_open_batch_size_is_followed_through_shape_arithmetic() -> None:
    graph = infer_shapes(graph_of(VIEW))
    assert graph.value("y").shape == ("batch", 32)
    assert graph.value("z").shape == ("batch", 3)
    assert static_values(graph_of(VIEW)).contents["target"].tolist() == ["batch", -1]


def test_a_dimension_takes_the_value_given_by_name_or_by_place() -> None:
    for key in ("batch", "x:0"):
        graph = infer_shapes(graph_of(VIEW), {key: 5})
        assert graph.value("x").shape == (5, 8, 2, 2)
        assert graph.value("y").shape == (5, 32)
        assert graph.value("z").shape == (5, 3)


def test_inference_leaves_the_graph_as_it_was() -> None:
    graph = graph_of(VIEW)
    before = graph.to_bytes()
    infer_shapes(graph, {"batch": 2})
    assert graph.to_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ultraface_rfb320", (1, 4420, 4)),
        ("tf_bert_qa_excerpt", ("batch_size", 7)),
        ("litemono_tiny_decoder", (1, 1, 192, 640)),
    ],
)
def test_outputs_of_real_files_are_worked_out(name: str, value: tuple[object, ...], shared: Path) -> None:
    graph = infer_shapes(open_model(shared / "data" / "zoo" / f"{name}.onnx"))
    assert graph.outputs[-1].shape == value or static_values(graph).shapes[graph.outputs[-1].name] == value
    known = static_values(graph).shapes
    assert all(output in known for node in graph.nodes for output in node.outputs if output)


def test_open_sizes_other_than_the_batch_are_asked_for(shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / "yunet_n_dynamic.onnx")
    assert [(entry.key, entry.batch) for entry in open_dimensions(graph)] == [
        ("batch", True),
        ("height", False),
        ("width", False),
    ]
    with pytest.raises(BadInputError, match=r"dimension 'width' \(axis 3 of input 'input'\) has no value.*width=224"):
        require_dimensions(graph, {"height": 320})
    require_dimensions(graph, {"height": 320, "width": 320})
    with pytest.raises(BadInputError, match=r"no dimension 'depth'.*batch, height, width"):
        infer_shapes(graph, {"depth": 3})
    with pytest.raises(BadInputError, match="dimension 'height' is 0"):
        infer_shapes(graph, {"height": 0})


def test_sizes_without_a_name_are_called_by_their_place(shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / "ppocr_v1_det.onnx")
    assert [entry.key for entry in open_dimensions(graph)] == ["image:0", "image:2", "image:3"]
    shapes = infer_shapes(graph, {"image:0": 1, "image:2": 640, "image:3": 640})
    assert shapes.value("conv2d_0.tmp_0").shape == (1, 8, 320, 320)


def test_a_batch_size_that_the_file_fixes_is_told_from_other_sizes() -> None:
    assert fixed_batch(graph_of("g (float[4, 3] x) => (float[4, 3] y) { y = Relu(x) }")) == 4
    assert fixed_batch(graph_of("g (float[4, 3] x) => (float[3, 4] y) { y = Transpose(x) }")) == 1
    assert fixed_batch(graph_of("g (float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }")) == 1


def test_reshape_and_broadcast_with_symbols() -> None:
    assert resolve_reshape(("n", 4, 6), (0, -1)) == ("n", 24)
    assert resolve_reshape(("n", 4, 6), (-1, 24)) == ("n", 24)
    assert resolve_reshape(("n", 4, 6), (-1, 12)) == (None, 12)
    assert resolve_reshape((2, 3), (0, 3), allow_zero=True) == (0, 3)
    assert broadcast(("n", 1, 3), (4, 1)) == ("n", 4, 3)
    assert broadcast(("n", 3), ("m", 3)) == (None, 3)
