"""Normalisations: each hands channels on, and one that averages across channels averages over those that are left.

That is what the operator itself does with fewer channels, and it keeps the scale of what it gives; counting removed
channels as zeros would shift the mean and shrink the deviation of all others.
"""

from __future__ import annotations

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Averaging, Axes, Flow, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.channels.rules.elementwise import broadcast
from workbench.graph.model import Node


@spreads("BatchNormalization", "InstanceNormalization")
def per_channel(node: Node, flow: Flow) -> None:
    """Scale, shift and statistics (channels,) lose the channels that the input loses."""
    axes = flow.axes(node, 0)
    if axes is None or len(axes) < 2:
        flow.give_up(node)
        return
    channels = axes[1]
    _vectors(node, flow, axes)
    if node.op == "InstanceNormalization" and any(labels is not None for labels in axes[2:]):
        flow.average(node, Averaging(tuple(range(2, len(axes))), "centred"))
    flow.give(node, axes)
    for output in range(1, len(node.outputs)):
        flow.give(node, (channels,), output)


def _vectors(node: Node, flow: Flow, axes: Axes) -> None:
    channels = axes[1]
    for index in range(1, len(node.inputs)):
        vector = flow.axes(node, index)
        if vector is not None and channels is not None and len(channels) > 1:
            flow.unify(node, channels, vector[0])


@spreads("GroupNormalization")
def groups(node: Node, flow: Flow) -> None:
    """Groups stay and all get narrower; groups of one channel go with it. Scale and shift are per channel or group."""
    axes, count = flow.axes(node, 0), node.attribute("num_groups", 1)
    if axes is None or len(axes) < 2:
        flow.give_up(node)
        return
    channels = axes[1]
    for labels in axes[2:]:
        flow.block(labels, f"{called(node)} normalises across them")
    if channels is not None:
        per_channel_scale = flow.shape(node.inputs[1]) == (len(channels),)
        if per_channel_scale:
            _vectors(node, flow, axes)
        if len(channels) > count:
            table = channels.reshape(count, -1)
            for row in table[1:]:
                flow.couple(node, table[0], row)
            flow.average(node, Averaging(tuple(range(1, len(axes))), "centred", groups=count))
    flow.give(node, axes)


@shrinks("GroupNormalization")
def fewer_groups(node: Node, cut: Cut) -> Change | None:
    """Groups of one channel go with it."""
    inside = cut.input(node, 0)
    stays = inside[1] if len(inside) > 1 else None
    if stays is None or len(stays) > node.attribute("num_groups", 1):
        return None
    return Change(attributes={"num_groups": int(stays.sum())})


@spreads("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, flow: Flow) -> None:
    """What is left shares the whole: a removed channel counts as the lowest number."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    modern = flow.graph.opset >= 13
    axis = node.attribute("axis", -1 if modern else 1) % max(len(axes), 1)
    if any(labels is not None for labels in axes[axis : axis + 1 if modern else None]):
        flow.contract(node, 0, fill="low")
    flow.give(node, axes)


@spreads("LpNormalization")
def lp(node: Node, flow: Flow) -> None:
    """Zero channels add nothing to a norm: removing them changes nothing for the others."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    flow.contract(node, 0)
    flow.give(node, axes)


@spreads("LRN")
def windows(node: Node, flow: Flow) -> None:
    """Channels are normalised with their neighbours, and others become neighbours when one goes."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    flow.block(axes[1], f"{called(node)} normalises each with its neighbours")
    flow.give(node, axes)


@spreads("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
@spreads("LayerNormalization", "SimplifiedLayerNormalization", domain="com.microsoft")
def trailing_axes(node: Node, flow: Flow) -> None:
    """All axes from `axis` on are normalised together; scale and shift run along them."""
    axes = flow.axes(node, 0)
    if axes is None or _reads_statistics(node, flow):
        flow.give_up(node)
        return
    flow.give(node, _normalised(node, flow, axes, (1, 2), "LayerNormalization" in node.op and "Simpl" not in node.op))


@spreads("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain="com.microsoft")
def skip(node: Node, flow: Flow) -> None:
    """Inputs x, skip, scale, shift (not in the simplified one), bias; the sum x + skip + bias may be an output too."""
    simple = node.op.startswith("SkipSimplified")
    bias = 3 if simple else 4
    summed = [index for index in (0, 1, bias) if index < len(node.inputs) and node.inputs[index]]
    inputs = [flow.axes(node, index) for index in summed]
    if any(axes is None for axes in inputs) or _reads_statistics(node, flow):
        flow.give_up(node)
        return
    shapes = [flow.shape(node.inputs[index]) for index in summed]
    axes = broadcast(node, flow, [axes for axes in inputs if axes is not None], shapes)
    flow.give(node, _normalised(node, flow, axes, (2,) if simple else (2, 3), not simple))
    flow.give(node, axes, 3)


def _reads_statistics(node: Node, flow: Flow) -> bool:
    return any(name and flow.graph.consumers(name) for name in node.outputs[1:3])


def _normalised(node: Node, flow: Flow, axes: Axes, vectors: tuple[int, ...], centred: bool) -> Axes:
    first = node.attribute("axis", -1) % max(len(axes), 1)
    result = axes
    for index in vectors:
        vector = flow.axes(node, index)
        if vector is not None:
            shapes = [tuple(None if one is None else len(one) for one in result), flow.shape(node.inputs[index])]
            result = broadcast(node, flow, [result, vector], shapes)
    if any(labels is not None for labels in axes[first:]):
        flow.average(node, Averaging(tuple(range(first, len(axes))), "centred" if centred else "power"))
    return result


@spreads("MeanVarianceNormalization")
def mean_variance(node: Node, flow: Flow) -> None:
    """The axes in `axes` are normalised together."""
    inside = flow.axes(node, 0)
    if inside is None:
        flow.give_up(node)
        return
    axes = tuple(axis % len(inside) for axis in node.attribute("axes", (0, 2, 3)))
    if any(inside[axis] is not None for axis in axes):
        flow.average(node, Averaging(axes, "centred"))
    flow.give(node, inside)
