"""Follows the number of channels through shape arithmetic, so that nobody computes with it unseen.

A *tag* on an element of a small integer tensor says: this number is the size of an axis with these labels. Operators
that only move such numbers about hand tags on, those that take shapes know what to do with them, all others pin the
channels: a division by "the number of channels" would change when channels go.
"""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.flow import Axes, Flow, Labels, called
from workbench.graph.model import Node

_TAKES_SHAPE = {("ConstantOfShape", 0), ("Expand", 1), ("Reshape", 1), ("Resize", 3)}
_MOVES = frozenset({"Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"})


def trace_shape(node: Node, flow: Flow) -> None:
    """Hand tags on through one node, or pin the channels whose number it computes with."""
    if node.op == "Shape" and not node.domain:
        tags = flow.values.get(node.inputs[0], ())
        end = node.attribute("end", len(tags))
        _keep(node, flow, tags[slice(node.attribute("start", 0), end)])
        return
    tagged = [index for index, name in enumerate(node.inputs) if name in flow.tags]
    if not tagged:
        return
    if not node.domain and node.op in _MOVES:
        moved = _moved(node, flow)
        if moved is not None:
            _keep(node, flow, moved)
            return
    for index in tagged:
        if node.domain or (node.op, index) not in _TAKES_SHAPE:
            flow.block_all(flow.tags[node.inputs[index]], f"{called(node)} computes with their number")


def _keep(node: Node, flow: Flow, tags: Axes) -> None:
    if any(labels is not None for labels in tags):
        flow.tags[node.outputs[0]] = tags


def _moved(node: Node, flow: Flow) -> Axes | None:
    """Return the tags of the output, or None for a use that is not plain moving."""
    if node.op == "Concat":
        joined: list[Labels | None] = []
        for name in node.inputs:
            shape = flow.shape(name)
            if shape is None or len(shape) != 1 or not isinstance(shape[0], int):
                return None
            joined.extend(flow.tags.get(name, (None,) * shape[0]))
        return tuple(joined)
    if node.inputs[0] not in flow.tags or any(name in flow.tags for name in node.inputs[1:]):
        return None
    tags = flow.tags[node.inputs[0]]
    if node.op in ("Gather", "Slice"):
        places = np.arange(len(tags))
        if node.op == "Gather":
            indices = flow.constant(node, 1)
            if indices is None:
                return None
            chosen = places[indices.astype(np.int64).ravel()]
        else:
            parts = [flow.constant(node, index) for index in (1, 2, 4)]
            starts, ends = node.attribute("starts", parts[0]), node.attribute("ends", parts[1])
            if starts is None or ends is None:
                return None
            step = 1 if parts[2] is None else int(parts[2][0])
            chosen = places[int(starts[0]) : int(ends[0]) : step]
        return tuple(tags[place] for place in chosen)
    return tags
