"""Joins what quantizes and dequantizes into one operator on real numbers, so that gradients cost one pass, not five.

A deployed file rounds a value by QuantizeLinear, limits it by Clip below 8 bits, moves integers (Pad, MaxPool …) and
reads them back by DequantizeLinear. On real numbers all of this is one rounding to multiples of the scale, after which
the moves are what they are in the float graph. The result is for the training engine only; no runtime knows the
operator.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name, remove_unused

DOMAIN = "workbench"
ROUND_TO_SCALE = "RoundToScale"


def join_quantizers(graph: ModelGraph) -> ModelGraph:
    """Return the graph in which every quantized activation is rounded by one `workbench:RoundToScale`(x, scale).

    Its attributes `zero_point`, `lowest` and `highest` are the levels; the result is
    scale · (clip(round(x / scale) + zero_point, lowest, highest) - zero_point). Quantizers with a computed or
    per-channel scale, and dequantized constants, stay as they are.
    """
    model = graph.edit()
    for node in tuple(model.graph):
        if node.op_type == "QuantizeLinear" and not node.domain:
            _join(model, node)
    remove_unused(model)
    model.graph.opset_imports.setdefault(DOMAIN, 1)
    return graph.edited(model)


def _join(model: ir.Model, node: ir.Node) -> None:
    value, scale = node.inputs[0], node.inputs[1]
    zero = _number(node.inputs[2]) if len(node.inputs) > 2 else 0
    if value is None or scale is None or zero is None or value.const_value is not None:
        return
    if scale.shape is not None and len(scale.shape) > 0:
        return
    integers = node.outputs[0]
    limits = np.iinfo(np.int8 if integers.dtype == ir.DataType.INT8 else np.uint8)
    lowest, highest = int(limits.min), int(limits.max)
    followers = [use.node for use in integers.uses()]
    if len(followers) == 1 and followers[0].op_type == "Clip":
        low, high = (_number(followers[0].inputs[index]) for index in (1, 2))
        if low is not None and high is not None:
            lowest, highest = max(lowest, low), min(highest, high)
            integers = followers[0].outputs[0]
    output = ir.Value(
        name=free_name(model, f"{value.name}_rounded"), type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape
    )
    rounding = ir.node(
        ROUND_TO_SCALE,
        [value, scale],
        attributes={"zero_point": zero, "lowest": lowest, "highest": highest},
        domain=DOMAIN,
        outputs=[output],
        name=free_name(model, f"{node.name}_joined"),
    )
    model.graph.insert_before(node, rounding)
    _on_reals(model, integers, output, scale, zero)


def _on_reals(model: ir.Model, integers: ir.Value, reals: ir.Value, scale: ir.Value, zero: int) -> None:
    """Let whoever reads the integers, or what was moved of them, read real numbers."""
    for use in tuple(integers.uses()):
        node = use.node
        if node.op_type == "DequantizeLinear":
            _keep_output(model, node, reals)
            node.outputs[0].replace_all_uses_with(reals)
            continue
        node.replace_input_with(use.idx, reals)
        if node.op_type == "Pad" and len(node.inputs) > 2:
            level, factor = _number(node.inputs[2]), scale.const_value
            if level is not None:
                fill = 0.0 if level == zero or factor is None else (level - zero) * float(factor.numpy())
                name = free_name(model, f"{node.name}_real_fill")
                node.replace_input_with(2, add_initializer(model, name, np.array(fill, np.float32)))
        for output in node.outputs:
            output.type = ir.TensorType(ir.DataType.FLOAT)
            _on_reals(model, output, output, scale, zero)


def _keep_output(model: ir.Model, node: ir.Node, reals: ir.Value) -> None:
    """Give the real numbers the name of a dequantized output of the graph."""
    output = node.outputs[0]
    if not output.is_graph_output():
        return
    copy = ir.Value(name=output.name, type=output.type, shape=output.shape)
    output.name = free_name(model, f"{output.name}_dequantized")
    model.graph.insert_after(node, ir.node("Identity", [reals], outputs=[copy], name=f"{node.name}_output"))
    for index, value in enumerate(model.graph.outputs):
        if value is output:
            model.graph.outputs[index] = copy


def _number(value: ir.Value | None) -> int | None:
    """Return a stored whole number, None where it is computed or not a single one."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    return int(value.const_value.numpy().reshape(()))
