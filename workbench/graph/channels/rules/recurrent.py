"""Recurrent cells: what they read can shrink, their hidden state stays."""

from __future__ import annotations

from workbench.graph.channels.flow import Flow, called
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads("GRU", "LSTM", "RNN")
def cell(node: Node, flow: Flow) -> None:
    """X (steps, batch, in), W (directions, gates · hidden, in): `in` is contracted, all else has to stay."""
    x, weight = flow.axes(node, 0), flow.axes(node, 1)
    if x is None or weight is None or len(x) != 3 or len(weight) != 3:
        flow.give_up(node)
        return
    if x[2] is not None and weight[2] is not None:
        flow.unify(node, x[2], weight[2])
        flow.layer(node, 1, "in", 2, x[2])
        flow.contract(node, 0)
    reason = f"{called(node)} can't be seen through"
    for labels in x[:2]:
        flow.block(labels, reason)
    for index in range(4, len(node.inputs)):
        if node.inputs[index] in flow.values:
            flow.block_all(flow.values[node.inputs[index]], reason)
    for index, name in enumerate(node.outputs):
        axes = flow.fixed(flow.shape(name), reason) if name else None
        if axes is not None:
            flow.give(node, axes, index)
