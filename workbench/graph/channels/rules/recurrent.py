"""Recurrent cells: what they read can shrink, and so can their hidden state, in all directions alike.

Notation: d directions, g gates (LSTM 4, GRU 3, RNN 1), h hidden units. The gates' blocks follow each other, so a hidden
unit sits at the same place of every block. Removing it takes its rows in all blocks and the columns that read it.
"""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Flow, Labels, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Node

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_BIAS, _STATES, _PEEPHOLES = 3, (5, 6), 7


@spreads("GRU", "LSTM", "RNN")
def cell(node: Node, flow: Flow) -> None:
    """X (steps, batch, in), W (d, g·h, in), R (d, g·h, h), B (d, 2·g·h), states (d, batch, h), P (d, 3·h)."""
    x, weight, recurrent = flow.axes(node, 0), flow.axes(node, 1), flow.axes(node, 2)
    if x is None or weight is None or len(x) != 3 or len(weight) != 3:
        flow.give_up(node)
        return
    if x[2] is not None and weight[2] is not None:
        flow.unify(node, x[2], weight[2])
        flow.layer(node, 1, "in", 2, x[2])
        flow.contract(node, 0)
    for labels in x[:2]:
        flow.block(labels, f"{called(node)} runs along them")
    hidden = None
    if recurrent is not None and len(recurrent) == 3:
        hidden = recurrent[2]
    if hidden is not None:
        _couple(node, flow, hidden)
    flow.give(node, (None, None, None, hidden), 0)
    for output in (1, 2):
        flow.give(node, (None, None, hidden), output)


def _couple(node: Node, flow: Flow, hidden: Labels) -> None:
    """Tie all that belongs to the hidden units to them."""
    gates = np.tile(hidden, _GATES[node.op])
    weight, recurrent, bias, peepholes = (flow.axes(node, index) for index in (1, 2, _BIAS, _PEEPHOLES))
    if weight is None or recurrent is None:
        return
    flow.unify(node, gates, weight[1])
    flow.unify(node, gates, recurrent[1])
    if bias is not None:
        flow.unify(node, np.tile(gates, 2), bias[1])
    if peepholes is not None:
        flow.unify(node, np.tile(hidden, 3), peepholes[1])
    for index in _STATES:
        state = flow.axes(node, index)
        if state is not None:
            flow.unify(node, hidden, state[-1])
            for labels in state[:-1]:
                flow.block(labels, f"{called(node)} keeps a state of each")
    flow.layer(node, 1, "out", 1, gates)
    flow.layer(node, 2, "out", 1, gates)
    flow.layer(node, 2, "in", 2, hidden)
    flow.contract(node, 2)


@shrinks("GRU", "LSTM", "RNN")
def hidden_size(node: Node, cut: Cut) -> Change | None:
    """Fewer hidden units."""
    recurrent = cut.input(node, 2)
    stays = recurrent[2] if len(recurrent) == 3 else None
    return None if stays is None else Change(attributes={"hidden_size": int(stays.sum())})
