"""Takes out nodes that change nothing, beyond those that constant folding removes: exact, bit for bit.

Neutral constants (x + 0, x * 1), activations of what they left as it is, pools of one position, slices and resizes of
the whole, transposes and reshapes that another one overrules.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.affine import constant_array, take_place
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import static_values
from workbench.graph.statics import Statics
from workbench.graph.surgery import bypass, remove_unused

_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0, "Pow": 1.0}
_EITHER_SIDE = frozenset({"Add", "Mul"})
# What they compute is never negative, so that a Relu behind them is idle.
_POSITIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Abs", "Exp", "Sqrt"})
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})


def remove_idle(graph: ModelGraph) -> ModelGraph:
    """Return the graph without nodes that change nothing; inputs, outputs and layer names stay.

    Raises:
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    statics = static_values(graph)
    model = graph.edit()
    for node in list(model.graph):
        if node.domain == "":
            _overrule(node)
            source = _unchanged(node, statics)
            if source is not None:
                _take_out(model, node, source)
    remove_unused(model)
    return graph.edited(model)


def _take_out(model: ir.Model, node: ir.Node, source: ir.Value) -> None:
    if bypass(model, node, source):
        return
    # The graph's own output: who computes the source writes it now, where nobody else knows the source by name.
    if source.producer() is not None and len(source.uses()) == 1 and not source.is_graph_output():
        take_place(source, node.outputs[0])
        model.graph.remove(node, safe=True)


def _overrule(node: ir.Node) -> None:
    """Let a Transpose or Reshape read past another one that nothing else needs."""
    source = node.inputs[0] if node.inputs else None
    before = None if source is None else source.producer()
    if source is None or before is None or before.op_type != node.op_type or before.domain != "":
        return
    if node.op_type == "Transpose":
        first, second = (each.attributes.get_ints("perm", None) for each in (before, node))
        if first is None or second is None:
            return
        node.attributes["perm"] = ir.AttrInt64s("perm", [first[axis] for axis in second])
    elif node.op_type == "Reshape":
        target = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
        if target is None or not target.all() or len(before.inputs) < 2:
            return
    else:
        return
    node.replace_input_with(0, before.inputs[0])


def _unchanged(node: ir.Node, statics: Statics) -> ir.Value | None:
    """Return the input that the node passes on as it is, or None."""
    op = node.op_type
    source = node.inputs[0] if node.inputs else None
    if op in _NEUTRAL and len(node.inputs) == 2:
        return _beside_neutral(node, statics)
    if source is None:
        return None
    if op == "Relu":
        before = source.producer()
        return source if before is not None and before.op_type in _POSITIVE and before.domain == "" else None
    if op == "Transpose":
        perm = node.attributes.get_ints("perm", None)
        return source if perm is not None and list(perm) == sorted(perm) else None
    if op in _POOLS:
        return source if _one_position(node) else None
    if op in ("Flatten", "Squeeze", "Unsqueeze", "Tile", "Resize", "Upsample", "Slice", "Reshape"):
        steps = constant_array(node.inputs[4]) if op == "Slice" and len(node.inputs) > 4 else None
        if op == "Slice" and len(node.inputs) > 4 and (steps is None or (steps < 1).any()):
            return None
        if op == "Resize" and node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize":
            return None
        return source if _same_shape(source, node.outputs[0], statics) else None
    return None


def _beside_neutral(node: ir.Node, statics: Statics) -> ir.Value | None:
    for side in (1, 0) if node.op_type in _EITHER_SIDE else (1,):
        constant, data = constant_array(node.inputs[side]), node.inputs[1 - side]
        if constant is None or data is None or not constant.size or constant.dtype.kind not in "fiu":
            continue
        if np.all(constant == _NEUTRAL[node.op_type]) and _same_shape(data, node.outputs[0], statics, constant.ndim):
            return data
    return None


def _same_shape(before: ir.Value, after: ir.Value, statics: Statics, least: int = 0) -> bool:
    """Whether both have one shape; a constant of at most one element a dimension (`least` of them) never widens it."""
    first, second = (statics.shapes.get(value.name or "") for value in (before, after))
    if first is None or second is None or len(first) < least:
        return False
    return None not in first and first == second


def _one_position(node: ir.Node) -> bool:
    kernel = node.attributes.get_ints("kernel_shape", None) or [0]
    others = [
        *(node.attributes.get_ints("strides", None) or [1]),
        *(1 + pad for pad in node.attributes.get_ints("pads", None) or [0]),
    ]
    absolute = node.op_type == "LpPool"
    indices = len(node.outputs) > 1 and bool(node.outputs[1].uses() or node.outputs[1].is_graph_output())
    return all(size == 1 for size in (*kernel, *others)) and not absolute and not indices
