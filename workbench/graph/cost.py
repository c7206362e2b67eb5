"""Counts multiply-accumulates and parameters of every node, so that sizes and speeds can be compared before measuring.

Conventions: one sample; a multiply with an add is one MAC; only matrix products and convolutions have MACs, everything
else counts zero; params are trained numbers (not running statistics, scales or shapes), each stored number once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx

from workbench.domain.reports import NodeCost
from workbench.graph.model import ModelGraph, Node
from workbench.graph.packed_codes import NBITS_OPERATOR, is_nbits, nbits_shape
from workbench.graph.shapes import fixed_batch, sample_shapes
from workbench.graph.statics import Statics
from workbench.graph.weights import stored

# Inputs that hold trained numbers, by operator of the standard domain (and ONNX Runtime's fused forms).
_TRAINED_INPUTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "FusedConv": (1, 2),
    "Gemm": (0, 1, 2),
    "FusedGemm": (0, 1, 2),
    "MatMul": (0, 1),
    "FusedMatMul": (0, 1),
    "Gather": (0,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (3,),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "SimplifiedLayerNormalization": (1,),
    "RMSNormalization": (1,),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Add": (0, 1),
    "Sub": (0, 1),
    "Mul": (0, 1),
    "Div": (0, 1),
    "Einsum": (0, 1),
}
_QUANTIZED = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})


@dataclass(frozen=True)
class GraphCost:
    """Costs of a graph: totals, one entry per node, and the operators whose MACs are not known (counted as zero)."""

    macs: int
    params: int
    nodes: tuple[NodeCost, ...]
    uncounted_ops: tuple[str, ...]


def graph_cost(
    graph: ModelGraph, dimensions: Mapping[str, int] | None = None, *, shapes: Statics | None = None
) -> GraphCost:
    """Return the cost of every node for one sample.

    Args:
        graph: The model.
        dimensions: Values for open input sizes; an open batch size is 1.
        shapes: What `sample_shapes` returned for the same arguments, where it is at hand.

    Raises:
        BadInputError: `dimensions` names no dimension of the model.
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    known = sample_shapes(graph, dimensions) if shapes is None else shapes
    batch = fixed_batch(graph)
    counted_weights: set[str] = set()
    costs: list[NodeCost] = []
    uncounted: dict[str, None] = {}
    for node in graph.nodes:
        macs = node_macs(node, known, graph.opset)
        if macs is None:
            uncounted[f"{node.domain}:{node.op}" if node.domain else node.op] = None
        params = _params(graph, node, counted_weights)
        costs.append(
            NodeCost(name=node.name, op=node.op, macs=(macs or 0) // batch, params=params, counted=macs is not None)
        )
    return GraphCost(
        macs=sum(cost.macs for cost in costs),
        params=sum(cost.params for cost in costs),
        nodes=tuple(costs),
        uncounted_ops=tuple(uncounted),
    )


def node_macs(node: Node, shapes: Statics, opset: int) -> int | None:
    """Return the MACs of one node over the whole batch; None if operator or shapes are not known."""
    rule = _RULES.get(node.op)
    if rule is not None and node.domain in ("", "com.microsoft"):
        try:
            return rule(node, shapes)
        except _UnknownShapeError:
            return None
    if node.domain != "" or node.op in _CONTROL_FLOW:
        return None
    return 0 if onnx.defs.has(node.op, max_inclusive_version=max(opset, 1)) else None


class _UnknownShapeError(Exception):
    """A shape that a count needs is not fully known; never leaves this file."""


def _shape(shapes: Statics, name: str) -> tuple[int, ...]:
    dims = shapes.shapes.get(name)
    if dims is None:
        raise _UnknownShapeError
    sizes = [size for size in dims if isinstance(size, int)]
    if len(sizes) != len(dims):
        raise _UnknownShapeError
    return tuple(sizes)


def _convolution(node: Node, shapes: Statics) -> int:
    weight = node.inputs[3 if node.op == "QLinearConv" else 1]
    return prod(_shape(shapes, node.outputs[0])) * prod(_shape(shapes, weight)[1:])


def _transposed_convolution(node: Node, shapes: Statics) -> int:
    return prod(_shape(shapes, node.inputs[0])) * prod(_shape(shapes, node.inputs[1])[1:])


def _gemm(node: Node, shapes: Statics) -> int:
    left = _shape(shapes, node.inputs[0])
    return prod(_shape(shapes, node.outputs[0])) * left[0 if node.attribute("transA", 0) else -1]


def _matmul(node: Node, shapes: Statics) -> int:
    left = _shape(shapes, node.inputs[0])
    return prod(_shape(shapes, node.outputs[0])) * left[-2 if node.attribute("transA", 0) else -1]


def _packed_matmul(node: Node, shapes: Statics) -> int:
    return prod(_shape(shapes, node.inputs[0])) * nbits_shape(node)[1]


def _recurrent(node: Node, shapes: Statics) -> int:
    steps_and_batch = _shape(shapes, node.inputs[0])[:2]
    weights = prod(_shape(shapes, node.inputs[1])) + prod(_shape(shapes, node.inputs[2]))
    return prod(steps_and_batch) * weights


def _einsum(node: Node, shapes: Statics) -> int | None:
    terms = str(node.attribute("equation", "")).replace(" ", "").split("->")[0].split(",")
    if len(terms) != len(node.inputs) or any("." in term for term in terms):
        return None
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.inputs, strict=True):
        for letter, size in zip(term, _shape(shapes, name), strict=False):
            sizes[letter] = max(sizes.get(letter, 1), size)
    return prod(sizes.values()) * (len(terms) - 1)


_RULES = {
    "Conv": _convolution,
    "FusedConv": _convolution,
    "DeformConv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Einsum": _einsum,
    NBITS_OPERATOR: _packed_matmul,
}


def _packed_params(node: Node, counted: set[str]) -> int:
    """Return the numbers that packed codes and a bias stand for."""
    found = {node.inputs[1]: prod(nbits_shape(node))}
    if len(node.inputs) > 5 and node.inputs[5]:
        found[node.inputs[5]] = nbits_shape(node)[1]
    total = sum(count for name, count in found.items() if name not in counted)
    counted.update(found)
    return total


def _params(graph: ModelGraph, node: Node, counted: set[str]) -> int:
    if is_nbits(node):
        return _packed_params(node, counted)
    indices = _TRAINED_INPUTS.get(node.op)
    if indices is None:
        indices = () if node.domain == "" else tuple(range(len(node.inputs)))
    total = 0
    for index in indices:
        name = node.inputs[index] if index < len(node.inputs) else ""
        weight = stored(graph, name) if name else None
        if weight is None or weight.name in counted or not weight.shape:
            continue
        if weight.real or node.op in _QUANTIZED:
            if node.op in ("Add", "Sub", "Mul", "Div") and prod(weight.shape) == 1:
                continue
            counted.add(weight.name)
            total += prod(weight.shape)
    return total
