"""Raises a graph's opset where a pass needs a newer one; the user's file keeps its own."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx import version_converter

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.model import ModelGraph
from workbench.graph.passes.experimental_operators import standard_operators
from workbench.graph.repairs import repair_model
from workbench.graph.skeleton import skeleton


def upgrade_opset(graph: ModelGraph, version: int) -> ModelGraph:
    """Return the graph in standard opset `version`, or itself if it has that one or a newer one.

    Node and value names, the nodes' metadata and all weights stay; experimental operators become standard ones.

    Raises:
        UnsupportedGraphError: an operator can't be converted; says which.
    """
    if graph.opset >= version:
        return graph
    graph = standard_operators(graph)
    for node in graph.nodes:
        if node.domain == "" and not onnx.defs.has(node.op, max_inclusive_version=graph.opset):
            raise UnsupportedGraphError(
                f"node {node.name!r} has operator {node.op!r}, which standard ONNX does not define, "
                f"so opset {graph.opset} can't be raised to {version}",
                where=graph.source,
                action=f"Export the model with opset {version} or newer.",
            )
    slim = skeleton(graph.edit(), lift=False)
    stripped = {value.name for value in slim.graph.input} - {info.name for info in graph.inputs}
    try:
        converted = version_converter.convert_version(slim, version)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedGraphError(
            f"can't be converted from opset {graph.opset} to {version}: {reason}",
            where=graph.source,
            action=f"Export the model with opset {version} or newer.",
        ) from error
    model = ir.from_proto(converted)
    _restore(graph, model, stripped)
    if graph.opset < 11 <= version:
        _keep_resize_meaning(model)
    repair_model(model, graph.source or "the model")
    return graph.edited(model)


def _keep_resize_meaning(model: ir.Model) -> None:
    """Say how Resize maps coordinates: before opset 11 it was asymmetric, and the converter leaves the new default."""
    for body in model.graphs():
        for node in body:
            if node.op_type == "Resize" and "coordinate_transformation_mode" not in node.attributes:
                node.attributes["coordinate_transformation_mode"] = ir.AttrString(
                    "coordinate_transformation_mode", "asymmetric"
                )
                if node.attributes.get_string("mode", "nearest") == "nearest":
                    node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "floor")


def _restore(graph: ModelGraph, model: ir.Model, stripped: set[str]) -> None:
    """Give the converted structure its big weights, names and metadata back, which the converter drops."""
    original = graph.edit()
    tensors = {name: value.const_value for name, value in original.graph.initializers.items()}
    for node in original.graph:
        if node.op_type == "Constant" and "value" in node.attributes:
            tensors.setdefault(node.outputs[0].name or "", node.attributes["value"].value)
    inputs = list(model.graph.inputs)
    model.graph.inputs.clear()
    model.graph.inputs.extend(value for value in inputs if value.name not in stripped)
    for value in inputs:
        if value.name in stripped:
            value.const_value = tensors[value.name]
            model.graph.register_initializer(value)
    by_output = {value.name: node for node in original.graph for value in node.outputs if value.name}
    given: set[str] = set()
    for node in model.graph:
        for value in node.outputs:
            before = by_output.get(value.name or "")
            if before is not None:
                if before.op_type == node.op_type and before.name not in given:
                    node.name = before.name
                    given.add(before.name or "")
                node.metadata_props.update(before.metadata_props)
                break
    model.metadata_props.update(original.metadata_props)
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
