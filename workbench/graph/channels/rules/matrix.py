"""Matrix products: contract the inner axis, keep the outer ones; with a constant they are layers."""

from __future__ import annotations

from workbench.graph.channels.flow import Axes, Flow, Labels
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
    result: Axes = (a[rows], b[columns])
    if flow.is_weight(node, 1):
        flow.layer(node, 1, "out", columns, b[columns])
        flow.layer(node, 1, "in", inner_b, a[inner_a])
    elif flow.is_weight(node, 0):
        flow.layer(node, 0, "out", rows, a[rows])
        flow.layer(node, 0, "in", inner_a, b[inner_b])
    c = flow.axes(node, 2)
    if c is not None:
        shape = tuple(None if labels is None else len(labels) for labels in result)
        result = broadcast(node, flow, [result, c], [shape, flow.shape(node.inputs[2])])
    flow.give(node, result)


@spreads("MatMul")
def matmul(node: Node, flow: Flow) -> None:
    """A (…, m, k), B (…, k, n), leading axes broadcast; a vector is a row as A and a column as B."""
    multiply(node, flow, 0, 1)
    flow.contract(node, 0, 1)


def multiply(node: Node, flow: Flow, at_a: int, at_b: int) -> None:
    """Follow channels through the product of the inputs of these numbers."""
    a, b = flow.axes(node, at_a), flow.axes(node, at_b)
    if not a or not b:
        flow.give_up(node, "has an operand of unknown shape")
        return
    inner_b = max(len(b) - 2, 0)
    flow.unify(node, a[-1], b[inner_b])
    leading: list[Labels | None] = []
    if len(a) > 2 or len(b) > 2:
        shapes = [flow.shape(node.inputs[at]) for at in (at_a, at_b)]
        leading = list(
            broadcast(node, flow, [a[:-2], b[:-2]], [None if shape is None else shape[:-2] for shape in shapes])
        )
    rows, columns = a[-2:-1], b[inner_b + 1 :]
    if flow.is_weight(node, at_b):
        if columns:
            flow.layer(node, at_b, "out", inner_b + 1, columns[0])
        flow.layer(node, at_b, "in", inner_b, a[-1])
    elif flow.is_weight(node, at_a):
        if rows:
            flow.layer(node, at_a, "out", len(a) - 2, rows[0])
        flow.layer(node, at_a, "in", len(a) - 1, b[inner_b])
    flow.give(node, (*leading, *rows, *columns))
