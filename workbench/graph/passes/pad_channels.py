"""Gives convolutions of few input channels more, all zero, where integer kernels like whole groups of four bytes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name, set_initializer


def pad_input_channels(graph: ModelGraph, names: Collection[str], multiple: int = 4) -> ModelGraph:
    """Return the graph in which the named convolutions read zeros as extra channels, up to a multiple of `multiple`.

    Exact: the new weights are zero too. A Pad goes before each convolution; weights keep their names and grow
    (out, in, …) → (out, padded, …).

    Raises:
        KeyError: a name is not a node of the graph.
        UnsupportedGraphError: a node is not an ungrouped Conv with a stored weight that nothing else reads, or the
            graph's opset is below 11.
    """
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for name in names:
        node = nodes[name]
        data, weight = node.inputs[0], node.inputs[1]
        tensor = None if weight is None or not weight.is_initializer() else weight.const_value
        if (
            graph.opset < 11
            or node.op_type != "Conv"
            or data is None
            or weight is None
            or tensor is None
            or node.attributes.get_int("group", 1) != 1
            or len(tuple(weight.uses())) != 1
        ):
            raise UnsupportedGraphError("is not a convolution whose input can be padded", where=name)
        array = tensor.numpy()
        missing = -array.shape[1] % multiple
        if not missing:
            continue
        wide = np.zeros((array.shape[0], array.shape[1] + missing, *array.shape[2:]), array.dtype)
        wide[:, : array.shape[1]] = array
        set_initializer(weight, wide)
        pads = np.zeros((2, array.ndim), np.int64)
        pads[1, 1] = missing
        shape = None
        if data.shape is not None:
            shape = ir.Shape([*data.shape[:1], wide.shape[1], *data.shape[2:]])
        output = ir.Value(name=free_name(model, f"{data.name}_padded"), type=data.type, shape=shape)
        pad = ir.node(
            "Pad",
            [data, add_initializer(model, free_name(model, f"{name}_pads"), pads.reshape(-1))],
            outputs=[output],
        )
        pad.name = f"{name}_Pad"
        model.graph.insert_before(node, pad)
        node.replace_input_with(0, output)
    return graph.edited(model)
