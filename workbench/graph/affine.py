"""Scales and shifts a layer by changing its weights: what every fold of normalisations and constants comes down to.

Notation: y = scale * (x - mean) / sqrt(variance + epsilon) + shift, per channel, is y = x * factor + offset; a layer
x = W a + b before it becomes (factor * W) a + (factor * b + offset). Worked out in double precision.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.surgery import add_initializer, free_name, set_initializer


def batch_norm_affine(node: ir.Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Return factor and offset (channels,) of a BatchNormalization in inference mode, or None."""
    if node.attributes.get_int("training_mode", 0) or node.attributes.get_int("spatial", 1) != 1:
        return None
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return None
    arrays = [constant_array(value) for value in node.inputs[1:5]]
    if len(arrays) != 4 or any(array is None for array in arrays):
        return None
    scale, shift, mean, variance = (array.astype(np.float64) for array in arrays if array is not None)
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    factor = scale / np.sqrt(variance + (1e-5 if epsilon is None else epsilon))
    return factor, shift - mean * factor


def constant_array(value: ir.Value | None) -> np.ndarray | None:
    """Return the array of a weight or of a Constant node's output; None for a computed or absent value."""
    if value is None:
        return None
    if value.const_value is not None and value.producer() is None:
        return value.const_value.numpy()
    node = value.producer()
    if node is not None and node.op_type == "Constant" and "value" in node.attributes:
        return np.asarray(node.attributes["value"].value.numpy())
    return None


def scale_result(model: ir.Model, layer: ir.Node, factor: np.ndarray, offset: np.ndarray) -> ir.Node | None:
    """Scale and shift what a layer computes, per output channel, by changing its weights.

    Args:
        model: The graph that is edited.
        layer: Conv, ConvTranspose, Gemm, MatMul, or the Add of a MatMul's bias.
        factor: What the result is multiplied with, (channels,).
        offset: What is added to it then, (channels,).

    Returns:
        The node that computes the new value now; None where the weights can't take it, and nothing was changed.
    """
    if layer.op_type == "Add":
        return _scale_add(model, layer, factor, offset)
    weight = constant_array(layer.inputs[1] if len(layer.inputs) > 1 else None)
    if weight is None or weight.dtype.kind != "f":
        return None
    scaled = _scaled(layer, weight.astype(np.float64), factor)
    if scaled is None:
        return None
    if layer.op_type == "MatMul":
        put_weight(model, layer, 1, scaled.astype(weight.dtype), f"{layer.name}.weight")
        if not offset.any():
            return layer
        _rename_scaled(model, layer)
        return _add_after(model, layer, offset.astype(weight.dtype))
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    old = constant_array(bias)
    if bias is not None and old is None:
        return None
    beta = layer.attributes.get_float("beta", 1.0) if layer.op_type == "Gemm" else 1.0
    if old is None or not beta:
        new = offset
        if layer.op_type == "Gemm":
            layer.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    else:
        new = old.astype(np.float64) * factor + offset / beta
    put_weight(model, layer, 1, scaled.astype(weight.dtype), f"{layer.name}.weight")
    put_weight(model, layer, 2, new.astype(weight.dtype), f"{layer.name}.bias")
    return layer


def _scaled(layer: ir.Node, weight: np.ndarray, factor: np.ndarray) -> np.ndarray | None:
    """Return the weight with its output channels scaled, or None where the channel counts do not fit."""
    channels = factor.size
    if layer.op_type == "Conv" and weight.shape[0] == channels:
        return np.asarray(weight * factor.reshape(-1, *[1] * (weight.ndim - 1)))
    if layer.op_type == "ConvTranspose":
        groups = layer.attributes.get_int("group", 1) or 1
        if weight.shape[1] * groups != channels or weight.shape[0] % groups:
            return None
        inner = weight.shape[0] // groups
        per_input = np.repeat(factor.reshape(groups, weight.shape[1]), inner, axis=0)
        return np.asarray(weight * per_input.reshape(*per_input.shape, *[1] * (weight.ndim - 2)))
    if layer.op_type == "Gemm" and weight.ndim == 2:
        transposed = layer.attributes.get_int("transB", 0)
        if weight.shape[0 if transposed else 1] == channels:
            return np.asarray(weight * (factor[:, None] if transposed else factor[None, :]))
    if layer.op_type == "MatMul" and weight.ndim == 2 and weight.shape[1] == channels:
        return np.asarray(weight * factor[None, :])
    return None


def _scale_add(model: ir.Model, add: ir.Node, factor: np.ndarray, offset: np.ndarray) -> ir.Node | None:
    """Fold into MatMul followed by Add of a constant bias, whichever side the bias is on."""
    for index, other in ((1, 0), (0, 1)):
        bias = constant_array(add.inputs[index])
        value = add.inputs[other]
        product = None if value is None else value.producer()
        if bias is None or value is None or product is None or product.op_type != "MatMul" or product.domain != "":
            continue
        weight = constant_array(product.inputs[1])
        if weight is None or value.is_graph_output() or len(value.uses()) != 1 or bias.size not in (1, factor.size):
            continue
        if bias.ndim and bias.shape[-1] != bias.size:
            continue
        scaled = _scaled(product, weight.astype(np.float64), factor)
        if scaled is None or weight.dtype.kind != "f":
            continue
        new = bias.astype(np.float64).reshape(-1) * factor + offset
        put_weight(model, product, 1, scaled.astype(weight.dtype), f"{product.name}.weight")
        if (factor != 1).any():
            _rename_scaled(model, product)
        put_weight(model, add, index, new.astype(bias.dtype), f"{add.name}.bias")
        return add
    return None


def _rename_scaled(model: ir.Model, product: ir.Node) -> None:
    """Give a value that is no longer what it was another name: values are compared by name across graphs."""
    value = product.outputs[0]
    value.name = free_name(model, f"{value.name}_scaled")


def constant_affine(node: ir.Node, rank: int | None, axis: int) -> tuple[ir.Value, np.ndarray, np.ndarray] | None:
    """Return the data that a Mul, Div, Add or Sub of a constant reads, with factor and offset per channel.

    Args:
        node: Any node.
        rank: Of the data, or None if it is not known.
        axis: Of the channels, counted from the end (-1, -2 …).

    Returns:
        The value, and two arrays (channels,) or (1,); None for any other node, a constant that differs along another
        axis, or one that would widen the data.
    """
    if node.domain != "" or node.op_type not in ("Mul", "Div", "Add", "Sub") or len(node.inputs) != 2:
        return None
    constants = [constant_array(value) for value in node.inputs]
    side = 0 if constants[1] is None else 1
    array, data = constants[side], node.inputs[1 - side]
    if array is None or data is None or constants[1 - side] is not None or array.dtype.kind != "f":
        return None
    if array.ndim > 1 and (rank is None or array.ndim > rank):
        return None
    spread = [size for place, size in enumerate(array.shape, start=-array.ndim) if place != axis]
    if any(size != 1 for size in spread) or (node.op_type == "Div" and (side == 0 or not array.all())):
        return None
    values = array.astype(np.float64).reshape(-1)
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type in ("Mul", "Div"):
        return data, values if node.op_type == "Mul" else 1 / values, zero
    if node.op_type == "Add":
        return data, one, values
    return (data, one, -values) if side == 1 else (data, -one, values)


def _add_after(model: ir.Model, layer: ir.Node, offset: np.ndarray) -> ir.Node:
    """Add the offset to what a MatMul computes, which has no bias of its own."""
    bias = add_initializer(model, free_name(model, f"{layer.name}.bias"), offset)
    add = ir.node("Add", [layer.outputs[0], bias], name=f"{layer.name}.bias_add")
    model.graph.insert_after(layer, add)
    return add


def put_weight(model: ir.Model, node: ir.Node, index: int, array: np.ndarray, wanted: str) -> None:
    """Set one input of a node to a weight, under its old name where no other node reads it."""
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is not None and old.producer() is None and len(old.uses()) == 1 and not old.is_graph_output():
        set_initializer(old, array)
        return
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_initializer(model, free_name(model, wanted), array))


def take_place(new: ir.Value, old: ir.Value) -> None:
    """Let `new` be read wherever `old` is, under its name."""
    name = old.name
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    old.name = None
    new.name, new.shape, new.type = name, old.shape, old.type
