"""The picture: every operator has a place, data flows down, boxes do not overlap, and large graphs are quick."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.domain.reports import Drawing
from workbench.graph.families import FAMILIES, family_of
from workbench.graph.layout import layout
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model


def check_picture(drawing: Drawing) -> None:
    nodes = {node.id: node for node in drawing.nodes}
    assert len(nodes) == len(drawing.nodes)
    rows: dict[float, list[tuple[float, float]]] = {}
    for node in drawing.nodes:
        assert node.x - node.width / 2 >= -0.1
        assert node.x + node.width / 2 <= drawing.width + 0.1
        assert node.y - node.height / 2 >= 0
        assert node.y + node.height / 2 <= drawing.height + 0.1
        rows.setdefault(node.y, []).append((node.x - node.width / 2, node.x + node.width / 2))
    for row in rows.values():
        for left, right in pairwise(sorted(row)):
            assert left[1] <= right[0] + 0.2
    for edge in drawing.edges:
        heights = [nodes[edge.source].y, *(y for _, y in edge.points), nodes[edge.target].y]
        assert heights == sorted(heights)
        assert heights[0] < heights[-1]


def network(count: int, edges: list[tuple[int, int]]) -> ModelGraph:
    """Return a graph of Sum nodes with the given edges; nodes without one read the input."""
    feed = ir.Value(name="x", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
    reads: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        reads[target].append(source)
    made: list[ir.Node] = []
    for index in range(count):
        inputs = [made[source].outputs[0] for source in dict.fromkeys(reads[index])] or [feed]
        node = ir.node("Sum" if index % 3 else "BatchNormalization", inputs, name=f"n{index}")
        node.outputs[0].name = f"v{index}"
        made.append(node)
    graph = ir.Graph([feed], [made[-1].outputs[0]], nodes=made, opset_imports={"": 17}, name="g")
    return ModelGraph(ir.Model(graph, ir_version=8))


@pytest.mark.parametrize(
    "name", ["yolox_nano", "gtcrn_stream", "edge_loop_sub_one", "edge_qdq_conv_perchannel", "fastestdet", "silero_vad"]
)
def test_real_graphs_are_drawn(name: str, shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / f"{name}.onnx")
    drawing = layout(graph)
    check_picture(drawing)
    ids = {node.id for node in drawing.nodes}
    assert {f"input:{info.name}" for info in graph.inputs} <= ids
    assert {f"output:{info.name}" for info in graph.outputs} <= ids
    assert {node.family for node in drawing.nodes} <= {*FAMILIES, "input", "output"}


def test_layers_are_marked_and_constants_are_not_drawn(shared: Path) -> None:
    drawing = layout(open_model(shared / "data" / "models" / "resnet20_cifar10_bn.onnx"))
    check_picture(drawing)
    assert sum(node.layer is not None for node in drawing.nodes) == 20
    assert not any(node.op == "Constant" for node in drawing.nodes)
    drawing = layout(open_model(shared / "data" / "zoo" / "edge_qdq_conv_perchannel.onnx"))
    assert [node.op for node in drawing.nodes].count("DequantizeLinear") == 2


@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(1, 40))
def test_any_graph_can_be_drawn(data: st.DataObject, count: int) -> None:
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    edges = data.draw(st.lists(pairs, max_size=3 * count)) if count > 1 else []
    drawing = layout(network(count, edges))
    check_picture(drawing)
    assert len(drawing.nodes) == count + 2


@pytest.mark.parametrize("shape", ["chain", "residual", "inception", "far"])
def test_ten_thousand_nodes_take_less_than_two_seconds(shape: str) -> None:
    count = 10_000
    chain = [(index, index + 1) for index in range(count - 1)]
    edges = {
        "chain": chain,
        "residual": chain + [(index, index + 4) for index in range(0, count - 4, 4)],
        "inception": [
            edge
            for start in range(0, count - 5, 5)
            for branch in range(1, 5)
            for edge in ((start, start + branch), (start + branch, start + 5))
        ],
        "far": chain + [(index, count - 1 - index) for index in range(0, 2000, 4)],
    }[shape]
    graph = network(count, edges)
    assert len(graph.nodes) == count
    drawing = layout(graph)
    assert drawing.width < 3000
    check_picture(drawing)


def test_every_operator_has_a_family() -> None:
    assert family_of("Conv") == "convolution"
    assert family_of("QuantizeLinear") == "quantize"
    assert family_of("SomethingNew") == "other"
