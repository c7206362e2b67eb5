"""What exporters leave odd is set right in memory, so that checks and passes see one kind of graph."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import parser

from workbench.graph.check import check
from workbench.graph.storage import open_model


def test_a_graph_without_a_name_is_as_good_as_any(tmp_path: Path) -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2] x, bool choice) => (float[2] y) {
            y = If (choice) <
                then_branch = yes () => (float[2] a) { a = Relu (x) },
                else_branch = no () => (float[2] b) { b = Neg (x) }
            >
        }"""
    )
    model.graph.name = ""
    for attribute in model.graph.node[0].attribute:
        attribute.g.name = ""
    onnx.save(model, tmp_path / "nameless.onnx")
    check(open_model(tmp_path / "nameless.onnx"))
    assert onnx.load(tmp_path / "nameless.onnx").graph.name == ""  # the user's file stays as it is


def test_outputs_of_unknown_rank_are_valid(tmp_path: Path) -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[n] x) => (float y) { z = NonZero (x) i = Squeeze (z) y = Gather (x, i) }"""
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "rank.onnx")
    graph = open_model(tmp_path / "rank.onnx")
    assert check(graph) == ()
    assert graph.outputs[0].shape is None
