"""Says experimental operators of early exporters in standard ones, so that a graph's opset can be raised.

ONNX had ImageScaler, Affine and Crop until opset 10 without ever defining them; the runtime still executes them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name

_EXPERIMENTAL = ("ImageScaler", "Affine", "Crop")
# Multiplication and addition broadcast from here on; until there Slice has its bounds as attributes.
_OPSET, _SLICE_BY_INPUTS = 7, 10
_TO_THE_END = 2**31 - 1


def standard_operators(graph: ModelGraph) -> ModelGraph:
    """Return the graph with Mul and Add in the place of ImageScaler and Affine, Slice in that of Crop (all NCHW).

    The graph itself without such operators, and where its opset, below 7 or from 10 on, has no such Slice or Mul.
    """
    found = [node.name for node in graph.nodes if node.domain == "" and node.op in _EXPERIMENTAL]
    if not found or not _OPSET <= graph.opset < _SLICE_BY_INPUTS:
        return graph
    model = graph.edit()
    for node in [node for node in model.graph if node.name in found]:
        new = _sliced(node) if node.op_type == "Crop" else _scaled(model, node)
        last, old = new[-1].outputs[0], node.outputs[0]
        last.name, last.type, last.shape = old.name, old.type, old.shape
        model.graph.insert_before(node, new)
        old.name = None
        old.replace_all_uses_with(last, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
    return graph.edited(model)


def _sliced(node: ir.Node) -> list[ir.Node]:
    left, top, right, bottom = node.attributes.get_ints("border", ()) or (0, 0, 0, 0)
    size = node.attributes.get_ints("scale", ())
    if size:
        ends = [top + size[0], left + size[1]]
    else:
        ends = [-margin if margin else _TO_THE_END for margin in (bottom, right)]
    attributes = {"axes": [2, 3], "starts": [top, left], "ends": ends}
    return [ir.node("Slice", [node.inputs[0]], attributes=attributes, name=node.name)]


def _scaled(model: ir.Model, node: ir.Node) -> list[ir.Node]:
    if node.op_type == "ImageScaler":
        factor = node.attributes.get_float("scale", 1.0)
        added = np.array(node.attributes.get_floats("bias", ()) or (0.0,), np.float32).reshape(1, -1, 1, 1)
    else:
        factor = node.attributes.get_float("alpha", 1.0)
        added = np.array(node.attributes.get_float("beta", 0.0), np.float32)
    name = node.name or ""
    scale = add_initializer(model, free_name(model, f"{name}_scale"), np.array(factor, np.float32))
    bias = add_initializer(model, free_name(model, f"{name}_bias"), added)
    scaled = ir.node("Mul", [node.inputs[0], scale], name=free_name(model, f"{name}_Mul"))
    scaled.outputs[0].name = free_name(model, f"{name}_scaled")
    shifted = ir.node("Add", [scaled.outputs[0], bias], name=free_name(model, f"{name}_Add"))
    return [scaled, shifted]
