"""Adds a constant per channel to what layers compute, in the bias that they have or can be given.

Notation: a layer y = W x + b becomes y = W x + (b + shift); shift (out,).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.affine import constant_array, put_weight
from workbench.graph.model import ModelGraph, Node
from workbench.graph.surgery import remove_unused


def takes_shift(graph: ModelGraph, name: str) -> bool:
    """Whether something can be added to a layer's result without a further node."""
    node = graph.node(name)
    return node.op != "MatMul" or bias_add(graph, node) is not None


def bias_add(graph: ModelGraph, node: Node) -> Node | None:
    """Return the Add of a constant (out,) that alone reads what a MatMul computes."""
    readers = graph.consumers(node.outputs[0])
    if len(readers) != 1 or readers[0].op != "Add" or node.outputs[0] in {info.name for info in graph.outputs}:
        return None
    bias = next((value for value in readers[0].inputs if value != node.outputs[0]), "")
    shape, columns = graph.constant_shape(bias) if bias else None, (graph.constant_shape(node.inputs[1]) or (0,))[-1]
    return readers[0] if shape is not None and shape[-1:] == (columns,) and max(shape) == np.prod(shape) else None


def shift_biases(graph: ModelGraph, shifts: Mapping[str, np.ndarray]) -> ModelGraph:
    """Return the graph with the shift (out,) of each named layer added to what it computes.

    Args:
        graph: The model.
        shifts: By name of a Conv, ConvTranspose, Gemm or MatMul for which `takes_shift` says yes. A layer without a
            bias gets one; a bias that others read too is copied.

    Raises:
        KeyError: a name is not a node.
        UnsupportedGraphError: a layer can't take a shift.
    """
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for name, shift in shifts.items():
        if not takes_shift(graph, name):
            raise UnsupportedGraphError("nothing can be added to its result without a further node", where=name)
        add = bias_add(graph, graph.node(name)) if graph.node(name).op == "MatMul" else None
        shift_bias(model, nodes[name], None if add is None else nodes[add.name], shift)
    remove_unused(model)
    return graph.edited(model)


def shift_bias(model: ir.Model, node: ir.Node, add: ir.Node | None, shift: np.ndarray) -> None:
    """Add a constant to what a layer of an edited graph adds to its product; `add` holds the bias of a MatMul."""
    target, index = (node, 2) if add is None else (add, 1 if add.inputs[0] is node.outputs[0] else 0)
    old = target.inputs[index] if index < len(target.inputs) else None
    beta = target.attributes.get_float("beta", 1.0) if target.op_type == "Gemm" else 1.0
    weight = node.inputs[1]
    dtype = np.dtype(np.float32) if weight is None or weight.dtype is None else weight.dtype.numpy()
    if old is None or not beta:
        array: np.ndarray = shift
        if target.op_type == "Gemm":
            target.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    else:
        known = constant_array(old)
        array = shift / beta if known is None else known.astype(np.float64) + shift / beta
    put_weight(model, target, index, array.astype(dtype), f"{node.name}_bias")
