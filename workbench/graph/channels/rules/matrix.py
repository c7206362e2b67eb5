"""Matrix products: contract the inner axis, keep the outer ones; with a constant they are layers."""

from __future__ import annotations

from workbench.graph.channels.flow import Flow
from workbench.graph.channels.registry import spreads
from workbench.graph.channels.rules.elementwise import broadcast
from workbench.graph.model import Node


@spreads("Gemm")
def gemm(node: Node, flow: Flow) -> None:
    """A (m, k) or (k, m) if transA; B (k, n) or (n, k) if transB; C broadcast to (m, n)."""
    a, b = flow.axes(node, 0), flow.axes(node, 1)
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        flow.give_up(node, "has an operand of unknown shape")
        return
    rows, inner_a = (1, 0) if node.attribute("transA", 0) else (0, 1)
    inner_b, columns = (1, 0) if node.attribute("transB", 0) else (0, 1)
    flow.unify(node, a[inner_a], b[inner_b])
    flow.contract(node, 0, 1)
    result = (a[rows], b[columns])
    _layers(node, flow, (rows, inner_a), (inner_b, columns), result)
    c = flow.axes(node, 2)
    if c is not None:
        wide = tuple(None if labels is None else labels for labels in result)
        shape = tuple(None if labels is None else len(labels) for labels in result)
        flow.give(node, broadcast(node, flow, [wide, c], [shape, flow.shape(node.inputs[2])]))
    flow.give(node, result)


@spreads("MatMul")
def matmul(node: Node, flow: Flow) -> None:
    """A (…, m, k), B (…, k, n), leading axes broadcast."""
    a, b = flow.axes(node, 0), flow.axes(node, 1)
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        flow.give_up(node, "has an operand of unknown shape")
        return
    shape_a, shape_b = flow.shape(node.inputs[0]), flow.shape(node.inputs[1])
    flow.unify(node, a[-1], b[-2])
    flow.contract(node, 0, 1)
    leading = []
    if len(a) > 2 or len(b) > 2:
        shapes = [None if shape is None else shape[:-2] for shape in (shape_a, shape_b)]
        leading = list(broadcast(node, flow, [a[:-2], b[:-2]], shapes))
    result = (*leading, a[-2], b[-1])
    _layers(node, flow, (len(a) - 2, len(a) - 1), (len(b) - 2, len(b) - 1), (a[-2], b[-1]))
    flow.give(node, result)


def _layers(
    node: Node,
    flow: Flow,
    axes_a: tuple[int, int],
    axes_b: tuple[int, int],
    result: tuple[object, object],
) -> None:
    """Note the layer: the constant operand brings the output channels."""
    a, b = flow.axes(node, 0), flow.axes(node, 1)
    if a is None or b is None:
        return
    if flow.is_weight(node, 1):
        inner, columns = axes_b
        flow.layer(node, 1, "out", columns, b[columns])
        flow.layer(node, 1, "in", inner, a[axes_a[1]])
    elif flow.is_weight(node, 0):
        rows, inner = axes_a
        flow.layer(node, 0, "out", rows, a[rows])
        flow.layer(node, 0, "in", inner, b[axes_b[0]])
