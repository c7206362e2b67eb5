"""The layers of a model: nodes with weights that can be compressed, with everything the layer table shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import onnx_ir as ir

from workbench.domain.knobs import (
    ACTIVATION_BITS,
    PRUNE_RATIO,
    RANK_RATIO,
    SPARSITY,
    SPARSITY_PATTERN,
    WEIGHT_BITS,
)
from workbench.domain.reports import LayerReport, NodeCost, ShapeReport
from workbench.graph.cost import GraphCost, graph_cost
from workbench.graph.model import ModelGraph, Node
from workbench.graph.packed_codes import is_nbits
from workbench.graph.shapes import fixed_batch, open_dimensions, sample_shapes, static_values
from workbench.graph.statics import Dims, Statics
from workbench.graph.weights import Weight, stored, weight_of

_ALL = (PRUNE_RATIO.name, WEIGHT_BITS.name, ACTIVATION_BITS.name)
_SPARSE = (SPARSITY.name, SPARSITY_PATTERN.name)
_KNOBS: dict[str, tuple[str, ...]] = {
    "Conv": (*_ALL, RANK_RATIO.name, *_SPARSE),
    "ConvTranspose": (*_ALL, *_SPARSE),
    "Gemm": (*_ALL, RANK_RATIO.name, *_SPARSE),
    "MatMul": (*_ALL, RANK_RATIO.name, *_SPARSE),
    "Gather": (WEIGHT_BITS.name,),
    "LSTM": _ALL,
    "GRU": _ALL,
    "RNN": _ALL,
    # Already integer: listed with their costs, nothing can be turned on them.
    "ConvInteger": (),
    "MatMulInteger": (),
    "QLinearConv": (),
    "QLinearMatMul": (),
}


def knobs_of(op: str) -> tuple[str, ...]:
    """Return the names of the first-party knobs that apply to a layer of operator `op`."""
    return _KNOBS.get(op, ())


def layer_nodes(graph: ModelGraph) -> tuple[tuple[Node, Weight], ...]:
    """Return every layer's node with its stored weight, in graph order."""
    found: list[tuple[Node, Weight]] = []
    for node in graph.nodes:
        if (node.domain == "" and node.op in _KNOBS) or is_nbits(node):
            weight = weight_of(graph, node)
            if weight is not None and _is_layer(node, weight):
                found.append((node, weight))
    return tuple(found)


def _is_layer(node: Node, weight: Weight) -> bool:
    real = weight.real
    if node.op == "Gather":
        # A table of two dimensions is an embedding; gathers on vectors and integers are shape arithmetic.
        return real and len(weight.shape) == 2 and int(node.attribute("axis", 0)) == 0
    if node.op in ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul") or is_nbits(node):
        return True
    return real and len(weight.shape) >= (1 if node.op == "MatMul" else 2)


def find_layers(
    graph: ModelGraph,
    dimensions: Mapping[str, int] | None = None,
    *,
    shapes: Statics | None = None,
    cost: GraphCost | None = None,
) -> tuple[LayerReport, ...]:
    """Return every layer with shapes, params, MACs, bytes and knobs, in graph order.

    Args:
        graph: The model.
        dimensions: Values for open input sizes; an open batch size counts as 1 in MACs and bytes.
        shapes: What `sample_shapes` returned for the same arguments, where it is at hand.
        cost: What `graph_cost` returned for the same arguments, where it is at hand.

    Raises:
        BadInputError: `dimensions` names no dimension of the model.
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    sample = sample_shapes(graph, dimensions) if shapes is None else shapes
    costs = {entry.name: entry for entry in (cost or graph_cost(graph, dimensions, shapes=sample)).nodes}
    shown = sample
    if any(entry.batch for entry in open_dimensions(graph, dimensions)):
        shown = static_values(graph, dimensions)
    batch = fixed_batch(graph)
    return tuple(
        _report(graph, node, weight, costs[node.name], sample, shown, batch) for node, weight in layer_nodes(graph)
    )


def _report(
    graph: ModelGraph, node: Node, weight: Weight, cost: NodeCost, sample: Statics, shown: Statics, batch: int
) -> LayerReport:
    activation = _activation(graph, node)
    weight_bytes = _weight_bytes(graph, node)
    moved = [_bytes(sample, name) for name in (activation, node.outputs[0])]
    known = [size for size in moved if size is not None]
    activation_bytes = sum(known) // batch if len(known) == len(moved) else None
    intensity = None
    if activation_bytes is not None and cost.counted and weight_bytes + activation_bytes > 0:
        intensity = cost.macs / (weight_bytes + activation_bytes)
    return LayerReport(
        name=node.name,
        op=node.op,
        weight=weight.name,
        weight_shape=weight.shape,
        input_shape=_shown(shown.shapes.get(activation)),
        output_shape=_shown(shown.shapes.get(node.outputs[0])),
        params=cost.params,
        macs=cost.macs,
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
        arithmetic_intensity=intensity,
        knobs=knobs_of(node.op),
        path=node.path,
    )


def _activation(graph: ModelGraph, node: Node) -> str:
    """Return the input that carries activations: the first one that is not made of constants."""
    return next((name for name in node.inputs if name and stored(graph, name) is None), node.inputs[0])


def _weight_bytes(graph: ModelGraph, node: Node) -> int:
    """Return the stored size of all constants behind the layer: weight, bias, and the scales of quantized ones."""
    sizes: dict[str, int] = {}
    for name in node.inputs:
        constant = stored(graph, name) if name else None
        if constant is not None:
            sizes[constant.name] = constant.nbytes
            for step in constant.through:
                sizes.update({extra: graph.constant_bytes(extra) for extra in step.inputs[1:] if extra})
    return sum(sizes.values())


def _bytes(shapes: Statics, name: str) -> int | None:
    dims = shapes.shapes.get(name)
    if dims is None or not all(isinstance(size, int) for size in dims):
        return None
    dtype = shapes.dtypes.get(name, ir.DataType.FLOAT)
    return int(prod(size for size in dims if isinstance(size, int)) * dtype.itemsize)


def _shown(dims: Dims | None) -> ShapeReport | None:
    return None if dims is None else tuple("?" if size is None else size for size in dims)
