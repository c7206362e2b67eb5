"""Follows a value's channels through what is positively homogeneous, to the layers that read them.

An operator h is positively homogeneous per channel if h(x / f) = h(x) / f for every f > 0: rectifiers, pooling, moves.
Where channels end up is followed with it: Flatten and Reshape spread each over a block of columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from workbench.api import ModelGraph, Node

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_ELEMENTWISE = frozenset({"Relu", "LeakyRelu", "PRelu", "Identity", "Dropout"})
_FORM_ONLY = frozenset({"Shape", "Size"})
_SPATIAL = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool", "Upsample", "Resize"}
)


@dataclass(frozen=True)
class Place:
    """Where channels lie: along `axis` (1, or negative from the end) of `value`, each `block` positions long."""

    value: str
    axis: int
    channels: int
    block: int = 1


def follow(graph: ModelGraph, start: Place) -> tuple[tuple[str, Place], ...] | str:
    """Return the layers that read a value's channels, and where each finds them; or why they can't be scaled.

    Args:
        graph: The model.
        start: The value.
    """
    outputs = {info.name for info in graph.outputs}
    ends: list[tuple[str, Place]] = []
    ahead = [start]
    while ahead:
        place = ahead.pop(0)
        if place.value in outputs:
            return "its output, or what is made of it, is an output of the model"
        readers = [node for node in graph.consumers(place.value) if node.op not in _FORM_ONLY]
        if not readers:
            return "nothing reads its output"
        for node in readers:
            if node.inputs.count(place.value) != 1 or node.inputs[0] != place.value:
                return f"{node.op} {node.name!r} behind it mixes it with other values"
            if node.op in LAYERS and node.domain == "":
                if not _reads_channels(graph, node, place):
                    return f"{node.op} {node.name!r} behind it reads its channels in another order"
                ends.append((node.name, place))
                continue
            moved = _moved(graph, node, place)
            if isinstance(moved, str):
                return moved
            ahead.append(moved)
    return tuple(ends)


def _reads_channels(graph: ModelGraph, node: Node, place: Place) -> bool:
    if node.op in ("Conv", "ConvTranspose"):
        return place.block == 1 and (place.axis == 1 or _rank(graph, place) == 1 - place.axis)
    if node.op == "Gemm":
        return not node.attribute("transA", 0)
    return place.axis == -1 or _rank(graph, place) == 2


def _moved(graph: ModelGraph, node: Node, place: Place) -> Place | str:
    """Return where a node puts the channels, or why it can't be passed."""
    if node.op == "Clip":
        return f"Clip {node.name!r} (ReLU6 or another limit) behind it is no rectifier: its limit does not scale"
    here = replace(place, value=node.outputs[0])
    inside = node.domain == "" and (node.op != "Dropout" or not any(graph.consumers(out) for out in node.outputs[1:]))
    if inside and node.op in _ELEMENTWISE:
        return here
    if inside and node.op in _SPATIAL and place.axis == 1 and place.block == 1:
        return here
    if inside and node.op == "Pad" and _pads_zeros_beside(graph, node, place):
        return here
    turned = None
    if inside and node.op in ("Flatten", "Reshape"):
        turned = _flattened(graph, node, place)
    elif inside and node.op == "Transpose":
        turned = _transposed(node, place)
    return turned or f"{node.op} {node.name!r} behind it does not pass factors on"


def _pads_zeros_beside(graph: ModelGraph, node: Node, place: Place) -> bool:
    """Whether a Pad leaves the channels alone and fills in what scales."""
    pads = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else np.asarray(node.attribute("pads", ()))
    if pads is None or not pads.size or (len(node.inputs) > 3 and node.inputs[3]):
        return False
    rank = pads.size // 2
    axis = place.axis % rank
    if pads[axis] or pads[axis + rank]:
        return False
    if node.attribute("mode", "constant") != "constant":
        return True
    fill = graph.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    return fill is not None and not np.any(fill) and not node.attribute("value", 0.0)


def _flattened(graph: ModelGraph, node: Node, place: Place) -> Place | None:
    """Return the place behind Flatten or Reshape where each channel is a block of the last axis."""
    before, after = graph.value(place.value).shape, graph.value(node.outputs[0]).shape
    if node.op == "Reshape" and place.axis == -1:
        # The last axis stays the last, whatever happens to those before it.
        target = graph.constant(node.inputs[1])
        last = after[-1] if after else None
        if not isinstance(last, int):
            # What reads it would not run with any other number of columns.
            last = _columns(graph, node.outputs[0]) if target is None or target[-1] < 1 else int(target[-1])
        return replace(place, value=node.outputs[0]) if last == place.channels * place.block else None
    if place.axis != 1 or place.block != 1:
        return None
    if node.op == "Flatten":
        if int(node.attribute("axis", 1)) != 1:
            return None
    elif after is None or len(after) != 2:
        return None
    if before is None or not all(isinstance(size, int) for size in before[1:]):
        columns = _columns(graph, node.outputs[0]) if node.op == "Flatten" else None
    else:
        columns = int(np.prod([size for size in before[1:] if isinstance(size, int)]))
        if node.op == "Reshape" and after is not None and after[1] != columns:
            return None
    if columns is None or columns % place.channels:
        return None
    return Place(node.outputs[0], -1, place.channels, columns // place.channels)


def _columns(graph: ModelGraph, value: str) -> int | None:
    """Return how many columns a flat value has, by the weights that read it."""
    for node in graph.consumers(value):
        shape = graph.constant_shape(node.inputs[1]) if node.op in ("Gemm", "MatMul") else None
        if shape is not None and len(shape) == 2:
            return shape[1] if node.op == "Gemm" and node.attribute("transB", 0) else shape[0]
    return None


def _transposed(node: Node, place: Place) -> Place | None:
    order = node.attribute("perm")
    if order is None:
        return None
    axis = list(order).index(place.axis % len(order))
    return (
        replace(place, value=node.outputs[0], axis=-1 if axis == len(order) - 1 else axis)
        if (axis in (1, len(order) - 1))
        else None
    )


def _rank(graph: ModelGraph, place: Place) -> int | None:
    shape = graph.value(place.value).shape
    return None if shape is None else len(shape)
