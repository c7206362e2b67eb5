"""Gives batch normalisation back to convolutions whose file has it folded in, because pruned networks recover by it.

Notation: a convolution y = w·a + b with mean m and variance v of y per output channel becomes y' = s·w·a, followed by
y = scale · (y' - s·(m - b)) / sqrt(s²·v + epsilon) + m with scale = sqrt(s²·v + epsilon) / s: the same function, whose
scale is the measured deviation and whose shift is the measured mean. s brings every filter to the norm that a fresh
network would have, sqrt(2 · c_in / c_out) per group (He et al., 2015), so that the learning rate suits its weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name, remove_unused, set_initializer

EPSILON = 1e-5
_NORMALISERS = frozenset({"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"})
Moments = Mapping[str, tuple[np.ndarray, np.ndarray]]


def normalisable(graph: ModelGraph) -> tuple[str, ...]:
    """Return the output values of the convolutions that lack normalisation and can be given it.

    Left out are convolutions whose weights are shared, computed, quantized or in half precision, whose result is the
    graph's own output, that are normalised already, or that see one position only (gates).
    """
    model = graph.edit()
    return tuple(node.outputs[0].name or "" for node in model.graph if _lacks(node))


def restore_batch_norm(graph: ModelGraph, moments: Moments) -> ModelGraph:
    """Return the graph with a BatchNormalization behind every convolution that `moments` names; the same function.

    The BatchNormalization writes the value under its old name, the convolution a new one; node and weights are called
    after the convolution ("conv1" → "conv1_bn", "conv1_bn_scale" …). A bias goes into the statistics.

    Args:
        graph: The model.
        moments: Mean and variance (channels,) of convolution outputs over samples and positions, by value name;
            names that `normalisable` does not list are passed over.
    """
    model = graph.edit()
    for node in list(model.graph):
        name = node.outputs[0].name or ""
        if name in moments and _lacks(node):
            _normalise(model, node, *moments[name])
    remove_unused(model)
    return graph.edited(model)


def _lacks(node: ir.Node) -> bool:
    if node.op_type != "Conv" or node.domain != "":
        return False
    weight, output = node.inputs[1], node.outputs[0]
    if _array(weight) is None or weight is None or len(weight.uses()) != 1 or weight.dtype != ir.DataType.FLOAT:
        return False
    if len(node.inputs) > 2 and node.inputs[2] is not None and _array(node.inputs[2]) is None:
        return False
    readers = [use.node for use in output.uses()]
    if output.is_graph_output() or not readers or any(reader.op_type in _NORMALISERS for reader in readers):
        return False
    return not _is_one_position(node)


def _is_one_position(node: ir.Node) -> bool:
    """Whether the convolution works on a pooled vector, whose batch statistics would be over samples alone."""
    source = node.inputs[0]
    while source is not None and (before := source.producer()) is not None:
        if before.op_type in ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean"):
            return True
        if before.op_type not in ("Conv", "Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Identity", "Clip"):
            return False
        kernel = before.attributes.get_ints("kernel_shape", [1]) if before.op_type == "Conv" else [1]
        if any(size != 1 for size in kernel):
            return False
        source = before.inputs[0]
    return False


def _array(value: ir.Value | None) -> np.ndarray | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()


def _normalise(model: ir.Model, node: ir.Node, mean: np.ndarray, variance: np.ndarray) -> None:
    weight = _array(node.inputs[1])
    assert weight is not None
    wide = weight.astype(np.float64)
    given = _array(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(len(wide)) if given is None else given.astype(np.float64)
    factor = _factor(wide, node.attributes.get_int("group", 1))
    deviation = np.sqrt(factor**2 * variance.astype(np.float64) + EPSILON)
    value = node.inputs[1]
    assert value is not None
    set_initializer(value, (wide * factor.reshape(-1, *[1] * (wide.ndim - 1))).astype(np.float32))
    statistics = {
        "scale": deviation / factor,
        "shift": mean,
        "mean": factor * (mean.astype(np.float64) - bias),
        "variance": factor**2 * variance,
    }
    base = node.name or node.outputs[0].name or "conv"
    weights = [
        add_initializer(model, free_name(model, f"{base}_bn_{part}"), array.astype(np.float32))
        for part, array in statistics.items()
    ]
    _insert(model, node, f"{base}_bn", weights)


def _factor(weight: np.ndarray, groups: int) -> np.ndarray:
    """Return what each filter (out, in / groups, k …) is multiplied with; 1 for a filter of zeros."""
    norms = np.sqrt((weight.reshape(len(weight), -1) ** 2).sum(1))
    wanted = np.sqrt(2.0 * weight.shape[1] / (weight.shape[0] / groups))
    return np.where(norms > 1e-12, wanted / np.maximum(norms, 1e-12), 1.0)


def _insert(model: ir.Model, node: ir.Node, name: str, weights: list[ir.Value]) -> None:
    """Put BatchNormalization behind the convolution; it writes the value under the old name."""
    old = node.outputs[0]
    called = old.name
    batch_norm = ir.Node(
        "",
        "BatchNormalization",
        [old, *weights],
        [ir.AttrFloat32("epsilon", EPSILON), ir.AttrFloat32("momentum", 0.9)],
        name=_free_node_name(model, name),
        metadata_props=dict(node.metadata_props),
    )
    new = batch_norm.outputs[0]
    new.shape, new.type = old.shape, old.type
    old.name = free_name(model, f"{called}_before_bn")
    new.name = called
    for use in list(old.uses()):
        if use.node is not batch_norm:
            use.node.replace_input_with(use.idx, new)
    if len(node.inputs) > 2:
        node.resize_inputs(2)
    model.graph.insert_after(node, batch_norm)


def _free_node_name(model: ir.Model, wanted: str) -> str:
    """Return `wanted`, or it with the first number that makes it a node name not yet in the graph."""
    taken = {node.name for node in model.graph}
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name
