"""Turns a model with quantizers back into float, so that steps that work on floats can start from it.

Notation as in `workbench.graph.quantization`. Weights keep the values that their integers stood for. A quantized value
loses its rounding and keeps its limits, s · (lowest - z) and s · (highest - z), which often stand for a rectifier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.affine import constant_array, take_place
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name, remove_unused
from workbench.graph.weights import stored, weight_values

_INTEGER_OPERATORS = ("QLinear", "QGemm", "QAttention", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")
# They move integers as they would move floats.
_MOVERS = frozenset(
    {
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)


class _Grid(NamedTuple):
    scale: float
    zero_point: int

    def real(self, level: float) -> float:
        """Return what an integer stands for."""
        return (level - self.zero_point) * self.scale


def remove_quantizers(graph: ModelGraph) -> ModelGraph:
    """Return the graph with every QuantizeLinear and DequantizeLinear taken out; the graph itself if there is none.

    Raises:
        UnsupportedGraphError: an operator computes on integers itself (QLinearConv …), or a scale is computed, or
            differs by channel, where a value is quantized.
    """
    if not any(node.op.startswith(("QuantizeLinear", "DequantizeLinear", *_INTEGER_OPERATORS)) for node in graph.nodes):
        return graph
    for read in graph.nodes:
        if read.op.startswith(_INTEGER_OPERATORS):
            raise _no_way(graph, read.name, f"is {read.op}, which computes on integers and has no float form")
    model = graph.edit()
    for node, grid in _on_integers(graph, model):
        source = node.inputs[0]
        assert source is not None
        if grid is None:
            _store_float(graph, model, node)
        elif node.op_type == "QuantizeLinear":
            _, lowest, highest = _grid_of(graph, node)
            _limit(model, node, source, grid.real(lowest), grid.real(highest))
        elif node.op_type == "Clip":
            ends = [constant_array(value) for value in node.inputs[1:3]]
            if len(ends) != 2 or ends[0] is None or ends[1] is None:
                raise _no_way(graph, node.name, "clips integers to limits that are computed")
            _limit(model, node, source, grid.real(float(ends[0])), grid.real(float(ends[1])))
        elif node.op_type == "DequantizeLinear":
            _pass_on(model, node, source)
        else:
            _move(graph, model, node, grid)
    remove_unused(model)
    result = graph.edited(model)
    check(result)
    return result


def _on_integers(graph: ModelGraph, model: ir.Model) -> list[tuple[ir.Node, _Grid | None]]:
    """Return the nodes that make, move or read integers, with what those stand for; None for stored weights."""
    found: list[tuple[ir.Node, _Grid | None]] = []
    integers: dict[ir.Value, _Grid] = {}
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if source is None:
            continue
        if node.op_type == "DequantizeLinear" and stored(graph, node.outputs[0].name or "") is not None:
            found.append((node, None))
        elif node.op_type == "QuantizeLinear":
            integers[node.outputs[0]] = _grid_of(graph, node)[0]
            found.append((node, integers[node.outputs[0]]))
        elif source in integers:
            found.append((node, integers[source]))
            if node.op_type == "Clip" or node.op_type in _MOVERS:
                integers.update(dict.fromkeys(node.outputs, integers[source]))
            elif node.op_type != "DequantizeLinear":
                raise _no_way(graph, node.name, f"is {node.op_type} on the integers of a quantizer")
        elif any(value in integers for value in node.inputs):
            raise _no_way(graph, node.name, f"is {node.op_type} on the integers of a quantizer")
    return found


def _no_way(graph: ModelGraph, node: str | None, why: str) -> UnsupportedGraphError:
    return UnsupportedGraphError(
        f"the model can't be turned back to float: node {node!r} {why}",
        where=graph.source,
        expected="QuantizeLinear and DequantizeLinear around float operators",
        action="Start from the float model.",
    )


def _store_float(graph: ModelGraph, model: ir.Model, node: ir.Node) -> None:
    """Put the values of stored integers in the place of a DequantizeLinear."""
    old = node.outputs[0]
    name = old.name or ""
    weight = stored(graph, name)
    if weight is None or any(not graph.is_constant(setting.name or "") for setting in node.inputs[1:] if setting):
        raise _no_way(graph, node.name, "stores a weight with a computed scale")
    old.name = None
    value = add_initializer(model, name, weight_values(graph, weight).astype(np.float32))
    old.replace_all_uses_with(value, replace_graph_outputs=True)
    model.graph.remove(node, safe=True)


def _grid_of(graph: ModelGraph, node: ir.Node) -> tuple[_Grid, int, int]:
    """Return scale and zero point of a QuantizeLinear, and its least and largest integer."""
    scale = constant_array(node.inputs[1])
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    zero = constant_array(node.inputs[2]) if given else np.zeros((), np.uint8)
    if scale is None or zero is None or scale.size != 1:
        raise _no_way(graph, node.name, "has no single stored scale")
    kind = zero.dtype
    if kind.kind not in "iu":
        raise _no_way(graph, node.name, f"quantizes to {kind}")
    bounds = np.iinfo(kind)
    return _Grid(float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])), int(bounds.min), int(bounds.max)


def _limit(model: ir.Model, node: ir.Node, source: ir.Value, low: float, high: float) -> None:
    """Put a Clip of floats in the place of a node."""
    name = free_name(model, f"{source.name}_limited")
    ends = [
        add_initializer(model, free_name(model, f"{name}_{side}"), np.array(end, np.float32))
        for side, end in (("lowest", low), ("highest", high))
    ]
    output = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=source.shape)
    model.graph.insert_before(node, ir.node("Clip", [source, *ends], outputs=[output], name=name))
    node.outputs[0].replace_all_uses_with(output)
    model.graph.remove(node, safe=True)


def _move(graph: ModelGraph, model: ir.Model, node: ir.Node, grid: _Grid) -> None:
    """Let a node that moved integers move floats."""
    if node.op_type == "Pad" and len(node.inputs) > 2 and node.inputs[2] is not None:
        fill = constant_array(node.inputs[2])
        if fill is None:
            raise _no_way(graph, node.name, "pads integers with a computed value")
        level = np.array(grid.real(float(fill.reshape(-1)[0])), np.float32)
        node.replace_input_with(2, add_initializer(model, free_name(model, f"{node.name}_fill"), level))
    for output in node.outputs:
        output.type = ir.TensorType(ir.DataType.FLOAT)


def _pass_on(model: ir.Model, node: ir.Node, source: ir.Value) -> None:
    """Let readers of a DequantizeLinear read what it read; a graph output keeps its name."""
    old = node.outputs[0]
    if old.is_graph_output():
        # A graph input must not take the name of an output, and a value that others read keeps its own.
        copy = ir.node("Identity", [source], name=free_name(model, f"{node.name}_float"))
        copy.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        model.graph.insert_before(node, copy)
        shape, name = old.shape, old.name
        take_place(copy.outputs[0], old)
        copy.outputs[0].shape, copy.outputs[0].name = shape, name
        copy.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    else:
        old.replace_all_uses_with(source)
    model.graph.remove(node, safe=True)
