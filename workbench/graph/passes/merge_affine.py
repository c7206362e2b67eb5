"""Folds constants that a layer's result is multiplied with, or that are added to it, into the layer's weights.

Exact in real numbers; worked out in double precision. Takes Mul, Div, Add and Sub of one number or one per channel,
behind Conv, ConvTranspose, Gemm, MatMul (with or without its bias) and BatchNormalization, and runs of two such nodes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.affine import constant_affine, constant_array, put_weight, scale_result, take_place
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import sample_shapes
from workbench.graph.statics import Statics
from workbench.graph.surgery import remove_unused

_CHANNELS_SECOND = frozenset({"Conv", "ConvTranspose", "BatchNormalization"})
_CHANNELS_LAST = frozenset({"Gemm", "MatMul", "Add"})


def merge_affine(graph: ModelGraph) -> ModelGraph:
    """Return the graph with constant scales and offsets folded into the layers before them.

    The value that the last folded node wrote keeps its name; the layer writes it now. A layer whose result others read
    too, or whose weights are quantized or shared with computed ones, stays as it is.

    Raises:
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    model, shapes = graph.edit(), sample_shapes(graph)
    for node in list(model.graph):
        if node.domain == "" and node.op_type in ("Mul", "Div", "Add", "Sub"):
            _fold(model, node, shapes)
    remove_unused(model)
    return graph.edited(model)


def _fold(model: ir.Model, node: ir.Node, shapes: Statics) -> None:
    data = next((value for value in node.inputs if value is not None and constant_array(value) is None), None)
    before = None if data is None else data.producer()
    if data is None or before is None or before.domain != "" or data.is_graph_output() or len(data.uses()) != 1:
        return
    if _joined(model, before, node):
        return
    dims = shapes.shapes.get(data.name or "")
    rank = None if dims is None else len(dims)
    if before.op_type in _CHANNELS_SECOND and rank is not None and rank > 1:
        axis = 1 - rank
    elif before.op_type in _CHANNELS_LAST:
        axis = -1
    else:
        return
    affine = constant_affine(node, rank, axis)
    channels = None if dims is None else dims[axis]
    if affine is None or not isinstance(channels, int) or max(len(affine[1]), len(affine[2])) not in (1, channels):
        return
    factor, offset = (np.broadcast_to(array, channels) for array in affine[1:])
    if before.op_type == "BatchNormalization":
        writer = _into_batch_norm(model, before, factor, offset)
    elif before.op_type == "MatMul" and offset.any():
        return  # that is the MatMul's bias already
    else:
        writer = scale_result(model, before, factor, offset)
    if writer is not None:
        take_place(writer.outputs[0], node.outputs[0])
        model.graph.remove(node, safe=True)


def _into_batch_norm(model: ir.Model, node: ir.Node, factor: np.ndarray, offset: np.ndarray) -> ir.Node | None:
    scale, shift = constant_array(node.inputs[1]), constant_array(node.inputs[2])
    if scale is None or shift is None or scale.size != factor.size or node.attributes.get_int("training_mode", 0) == 1:
        return None
    put_weight(model, node, 1, (scale.astype(np.float64) * factor).astype(scale.dtype), f"{node.name}.scale")
    put_weight(model, node, 2, (shift.astype(np.float64) * factor + offset).astype(shift.dtype), f"{node.name}.shift")
    return node


def _joined(model: ir.Model, first: ir.Node, second: ir.Node) -> bool:
    """Join two multiplications, or two additions, of constants into one; False where they are none."""
    kinds = {first.op_type, second.op_type}
    if kinds not in ({"Mul"}, {"Add"}):
        return False
    places = [
        [index for index, value in enumerate(node.inputs) if constant_array(value) is not None]
        for node in (first, second)
    ]
    if [len(found) for found in places] != [1, 1]:
        return False
    arrays = [constant_array(node.inputs[found[0]]) for node, found in zip((first, second), places, strict=True)]
    wide = [array.astype(np.float64) for array in arrays if array is not None and array.dtype.kind == "f"]
    if len(wide) != 2:
        return False
    joined = wide[0] * wide[1] if kinds == {"Mul"} else wide[0] + wide[1]
    if joined.size > max(array.size for array in wide):
        return False
    stored = arrays[0].dtype if arrays[0] is not None else np.dtype(np.float32)
    put_weight(model, first, places[0][0], joined.astype(stored), f"{first.name}.constant")
    take_place(first.outputs[0], second.outputs[0])
    model.graph.remove(second, safe=True)
    return True
