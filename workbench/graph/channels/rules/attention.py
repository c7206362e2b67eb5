"""Attention in one node: heads go whole, with their queries, keys and values; grouped queries go with their keys.

Notation: g key-value heads, each read by r query heads; d is the depth of queries and keys, e that of values.
"""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Axes, Flow, Labels, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Node


@spreads("Attention")
def attention(node: Node, flow: Flow) -> None:
    """Q (batch, g·r, tokens, d), K (batch, g, tokens, d), V (batch, g, tokens, e), or heads and depth in the last axis.

    The mask and the caches of the past must not lose anything.
    """
    operands = [flow.axes(node, index) for index in range(3)]
    ranks = {len(axes) for axes in operands if axes is not None}
    if any(axes is None for axes in operands) or ranks not in ({3}, {4}) or len(node.inputs) > 4:
        flow.give_up(node)
        return
    q, k, v = (axes for axes in operands if axes is not None)
    _pin_further(node, flow, 3)
    queries, keys = node.attribute("q_num_heads"), node.attribute("kv_num_heads")
    if ranks == {3}:
        _packed(node, flow, (q, k, v), queries or 1, keys or queries or 1)
        return
    heads = _grouped(node, flow, q[1], k[1], v[1])
    # The depth of queries and keys fixes the scale where the node names none.
    if node.attribute("scale") is None:
        for axes in (q, k):
            flow.block(axes[3], f"{called(node)} scales by their number")
    flow.unify(node, q[3], k[3])
    flow.contract(node, 0, 1)
    flow.give(node, (q[0], heads, q[2], v[3]))
    _refuse_others(node, flow)


@spreads("MultiHeadAttention", domain="com.microsoft")
def multi_head(node: Node, flow: Flow) -> None:
    """Q, K (batch, tokens, heads·d), V (batch, tokens, heads·e), bias (2·heads·d + heads·e,)."""
    operands = [flow.axes(node, index) for index in range(3)]
    known = [axes for axes in operands if axes is not None and len(axes) == 3]
    if len(known) < 3 or any(len(node.inputs) > index and node.inputs[index] for index in (6, 7)):
        flow.give_up(node)
        return
    count = node.attribute("num_heads", 1)
    _pin_further(node, flow, 4)
    _packed(node, flow, (known[0], known[1], known[2]), count, count)
    bias = flow.axes(node, 3)
    parts = [axes[2] for axes in known]
    if bias is not None and bias[0] is not None:
        if any(part is None for part in parts):
            flow.block(bias[0], f"{called(node)} joins them with channels that can't be removed")
        else:
            flow.unify(node, np.concatenate([part for part in parts if part is not None]), bias[0])


def _pin_further(node: Node, flow: Flow, first: int) -> None:
    for name in node.inputs[first:]:
        flow.block_all(flow.values.get(name), f"{called(node)} masks with it")


def _refuse_others(node: Node, flow: Flow) -> None:
    """Caches and scores that the node gives besides hold fixed positions."""
    for index, name in enumerate(node.outputs[1:], 1):
        axes = flow.fixed(flow.shape(name), f"{called(node)} gives them to others") if name else None
        if axes is not None:
            flow.give(node, axes, index)


def _packed(node: Node, flow: Flow, operands: tuple[Axes, Axes, Axes], queries: int, keys: int) -> None:
    """Heads and depth share the last axis: a key-value head goes with all queries that read it."""
    q, k, v = (axes[2] for axes in operands)
    if q is None or k is None or v is None:
        for labels in (q, k, v):
            flow.block(labels, f"{called(node)} joins them with channels that can't be removed")
        flow.give(node, (operands[0][0], operands[0][1], None))
        _refuse_others(node, flow)
        return
    heads = k.reshape(keys, -1)[:, 0]
    for labels in (q, k, v):
        flow.couple(node, np.repeat(heads, len(labels) // keys), labels)
    depth = v.reshape(keys, -1).shape[1]
    flow.give(node, (operands[0][0], operands[0][1], np.repeat(heads, queries // keys * depth)))
    _refuse_others(node, flow)


def _grouped(node: Node, flow: Flow, q: Labels | None, k: Labels | None, v: Labels | None) -> Labels | None:
    """Couple the axes that count heads."""
    flow.unify(node, k, v)
    if q is None or k is None or len(q) % len(k):
        return flow.unify(node, q, k)
    flow.unify(node, q, np.repeat(k, len(q) // len(k)))
    return q


@shrinks("Attention")
def fewer_heads(node: Node, cut: Cut) -> Change | None:
    """Where heads share an axis with their depth the node names their number."""
    if node.attribute("q_num_heads") is None:
        return None
    names = ("q_num_heads", "kv_num_heads")
    counts = {name: _left(node, cut, index, node.attribute(name)) for index, name in enumerate(names)}
    return Change(attributes={name: count for name, count in counts.items() if count is not None})


@shrinks("MultiHeadAttention", domain="com.microsoft")
def fewer_equal_heads(node: Node, cut: Cut) -> Change | None:
    """As many as queries have."""
    count = _left(node, cut, 0, node.attribute("num_heads"))
    return None if count is None else Change(attributes={"num_heads": count})


def _left(node: Node, cut: Cut, index: int, heads: int | None) -> int | None:
    inside = cut.input(node, index)
    stays = inside[2] if len(inside) == 3 else None
    return None if stays is None or heads is None else int(stays.reshape(heads, -1)[:, 0].sum())
