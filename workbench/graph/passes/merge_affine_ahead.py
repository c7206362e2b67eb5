"""Folds scales and offsets that stand *before* a layer into its weights: input normalisation, batch norm ahead of it.

Notation: W (f x + o) + b = (W f) x + (b + W o), f and o per input channel. Where a convolution pads with zeros, those
zeros would have to become -o / f, so offsets pass unpadded convolutions only; factors pass any.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.affine import batch_norm_affine, constant_affine, constant_array, put_weight
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import sample_shapes
from workbench.graph.statics import Dims, Statics
from workbench.graph.surgery import remove_unused

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def merge_affine_ahead(graph: ModelGraph) -> ModelGraph:
    """Return the graph with batch norms and constant scales and offsets folded into all the layers that read them.

    Layers keep their names and what they write. A node that anything else reads too stays.

    Raises:
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    model, shapes = graph.edit(), sample_shapes(graph)
    for node in reversed(list(model.graph)):
        if node.domain == "" and node.op_type in ("BatchNormalization", "Mul", "Div", "Add", "Sub"):
            _fold(model, node, shapes)
    remove_unused(model)
    return graph.edited(model)


def _fold(model: ir.Model, node: ir.Node, shapes: Statics) -> None:
    output = node.outputs[0]
    readers = [use.node for use in output.uses()]
    if not readers or output.is_graph_output() or any(use.idx != 0 for use in output.uses()):
        return
    dims = shapes.shapes.get(output.name or "")
    if dims is None or any(reader.domain != "" or reader.op_type not in _LAYERS for reader in readers):
        return
    axes = {1 - len(dims) if reader.op_type in ("Conv", "ConvTranspose") else -1 for reader in readers}
    if len(axes) != 1:
        return
    found = _affine(node, dims, axes.pop())
    if found is None:
        return
    source, factor, offset = found
    changes = [_changed(reader, factor, offset) for reader in readers]
    if any(change is None for change in changes):
        return
    for reader, change in zip(readers, changes, strict=True):
        if change is not None:
            put_weight(model, reader, 1, change[0], f"{reader.name}.weight")
            if change[1] is not None:
                put_weight(model, reader, 2, change[1], f"{reader.name}.bias")
                if reader.op_type == "Gemm" and not reader.attributes.get_float("beta", 1.0):
                    reader.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
            reader.replace_input_with(0, source)
    model.graph.remove(node, safe=True)


def _affine(node: ir.Node, dims: Dims, axis: int) -> tuple[ir.Value, np.ndarray, np.ndarray] | None:
    """Return what the node reads, and its factor and offset per channel of the layers behind it."""
    channels = dims[axis]
    if not isinstance(channels, int):
        return None
    if node.op_type == "BatchNormalization":
        affine, source = batch_norm_affine(node), node.inputs[0]
        if affine is None or source is None or (axis == -1 and len(dims) != 2):
            return None
        found = (source, *affine)
    else:
        constant = constant_affine(node, len(dims), axis)
        if constant is None:
            return None
        found = constant
    if max(len(found[1]), len(found[2])) not in (1, channels):
        return None
    return found[0], np.broadcast_to(found[1], channels), np.broadcast_to(found[2], channels)


def _changed(layer: ir.Node, factor: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return the layer's new weight, and its new bias if it changes; None where it can't take the change."""
    weight = constant_array(layer.inputs[1])
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    old = constant_array(bias)
    if weight is None or weight.dtype.kind != "f" or (bias is not None and old is None):
        return None
    wide = weight.astype(np.float64)
    if layer.op_type == "Conv":
        groups = layer.attributes.get_int("group", 1) or 1
        if wide.shape[1] * groups != factor.size or (offset.any() and _pads(layer)):
            return None
        shape = (groups, 1, wide.shape[1], *[1] * (wide.ndim - 2))
        grouped = wide.reshape(groups, -1, *wide.shape[1:])
        scaled = (grouped * factor.reshape(shape)).reshape(wide.shape)
        extra = (grouped * offset.reshape(shape)).reshape(len(wide), -1).sum(axis=1)
    elif layer.op_type == "ConvTranspose":
        if len(wide) != factor.size or offset.any():
            return None
        return (wide * factor.reshape(-1, *[1] * (wide.ndim - 1))).astype(weight.dtype), None
    else:
        turned = layer.op_type == "Gemm" and layer.attributes.get_int("transB", 0) == 1
        matrix = wide.T if turned else wide
        if wide.ndim != 2 or len(matrix) != factor.size or layer.attributes.get_int("transA", 0) == 1:
            return None
        if layer.op_type == "MatMul" and offset.any():
            return None
        scaled, extra = matrix * factor[:, None], offset @ matrix
        scaled = scaled.T if turned else scaled
    if not offset.any():
        return scaled.astype(weight.dtype), None
    beta = (layer.attributes.get_float("beta", 1.0) or 0.0) if layer.op_type == "Gemm" else 1.0
    alpha = (layer.attributes.get_float("alpha", 1.0) or 0.0) if layer.op_type == "Gemm" else 1.0
    added = alpha * extra / (beta or 1.0)
    base = old.astype(np.float64) if old is not None and beta else 0.0
    return scaled.astype(weight.dtype), np.asarray(base + added).astype(weight.dtype)


def _pads(layer: ir.Node) -> bool:
    automatic = layer.attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
    return automatic.startswith("SAME") or any(layer.attributes.get_ints("pads", ()) or ())
