"""Says what removing a channel means: the same graph with that channel zero wherever something reads it.

The mask sits behind every layer that makes the channel, and once more in front of every operator that sums over
channels, since biases, normalisation and activations such as Sigmoid make something of a zero on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from workbench.graph.channels.analysis import analyse
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name


def mask_channels(graph: ModelGraph, removal: Mapping[str, Sequence[int]]) -> ModelGraph:
    """Return the graph, at its full size, with the named channels set to zero.

    Args:
        graph: The graph; it stays as it is.
        removal: For channel groups by id the units to zero, as for `remove_channels`.

    Raises:
        RecipeError: an unknown group or unit, one that must stay, or a removal that leaves a layer without channels.
    """
    analysis = analyse(graph)
    cut = analysis.cut(removal)
    model = analysis.graph.edit()
    nodes = {node.name: node for node in model.graph}
    masks: dict[bytes, ir.Value] = {}

    def masked(value: ir.Value, before: ir.Node, after: bool) -> ir.Value | None:
        keep = _mask(tuple(cut.stays(labels) for labels in analysis.values.get(value.name or "", ())))
        if keep is None:
            return None
        # Behind operators that type inference does not know (old experimental ones) values are taken as float.
        dtype = analysis.statics.dtypes.get(value.name or "", ir.DataType.FLOAT)
        key = keep.tobytes() + repr((keep.shape, dtype.name)).encode()
        modern = analysis.graph.opset >= 9
        if key not in masks:
            array = keep if modern else keep.astype(dtype.numpy())
            masks[key] = add_initializer(model, free_name(model, "mask"), array)
        if modern:
            zero = add_initializer(model, free_name(model, "zero"), np.zeros((), dtype=dtype.numpy()))
            node = ir.node("Where", [masks[key], value, zero])
        else:
            node = ir.node("Mul", [value, masks[key]])
        node.outputs[0].name = free_name(model, f"{value.name}_masked")
        node.name = node.outputs[0].name
        if after:
            model.graph.insert_after(before, node)
        else:
            model.graph.insert_before(before, node)
        return node.outputs[0]

    for name, index in analysis.contracted:
        node = nodes[name]
        value = node.inputs[index]
        new = None if value is None or value.const_value is not None else masked(value, node, after=False)
        if new is not None:
            node.replace_input_with(index, new)
    for layer in dict.fromkeys(slot.layer for slot in analysis.slots if slot.axis == "out"):
        node = nodes[layer]
        value = node.outputs[0]
        readers = list(value.uses())
        new = masked(value, node, after=True)
        if new is not None:
            for use in readers:
                use.node.replace_input_with(use.idx, new)
    return analysis.graph.edited(model)


def _mask(stays: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    """Return True where all axes keep their position, broadcastable to the value; None if nothing goes."""
    mask: np.ndarray | None = None
    for axis, keep in enumerate(stays):
        if keep is not None:
            shaped = keep.reshape([-1 if at == axis else 1 for at in range(len(stays))])
            mask = shaped if mask is None else mask & shaped
    return mask
