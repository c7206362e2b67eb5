"""Normalisations: per channel they hand channels on, across channels they need all of them."""

from __future__ import annotations

from workbench.graph.channels.flow import Flow, called
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads("BatchNormalization", "InstanceNormalization")
def per_channel(node: Node, flow: Flow) -> None:
    """Scale, shift and statistics (channels,) lose the channels that the input loses."""
    axes = flow.axes(node, 0)
    if axes is None or len(axes) < 2:
        flow.give_up(node)
        return
    channels = axes[1]
    if channels is not None:
        for index in range(1, len(node.inputs)):
            vector = flow.axes(node, index)
            if vector is not None and len(channels) > 1:
                flow.unify(node, channels, vector[0])
    flow.give(node, axes)
    for output in range(1, len(node.outputs)):
        flow.give(node, (channels,), output)


def _across(node: Node, flow: Flow, axes_mixed: range) -> None:
    """Block the axes that the node mixes: with fewer channels, the others would be normalised differently."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    for axis in axes_mixed:
        flow.block(axes[axis], f"{called(node)} normalises across them")
    flow.give(node, axes)


@spreads("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, flow: Flow) -> None:
    """A removed channel would still count with exp(0) if it were zero, so it can't be left out."""
    rank = len(flow.axes(node, 0) or ())
    modern = flow.graph.opset >= 13
    axis = node.attribute("axis", -1 if modern else 1) % max(rank, 1)
    _across(node, flow, range(axis, axis + 1 if modern else rank))


@spreads("LpNormalization")
def lp(node: Node, flow: Flow) -> None:
    """Zero channels add nothing to a norm: removing them changes nothing for the others."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    flow.contract(node, 0)
    flow.give(node, axes)


@spreads("LRN", "GroupNormalization")
def channel_windows(node: Node, flow: Flow) -> None:
    """Channels are normalised with their neighbours."""
    _across(node, flow, range(1, 2))


@spreads("LayerNormalization", "RMSNormalization")
@spreads("SimplifiedLayerNormalization")
def trailing_axes(node: Node, flow: Flow) -> None:
    """All axes from `axis` on are normalised together."""
    rank = len(flow.axes(node, 0) or ())
    _across(node, flow, range(node.attribute("axis", -1) % max(rank, 1), rank))


@spreads("MeanVarianceNormalization")
def mean_variance(node: Node, flow: Flow) -> None:
    """The axes in `axes` are normalised together."""
    axes = node.attribute("axes", (0, 2, 3))
    inside = flow.axes(node, 0)
    if inside is None:
        flow.give_up(node)
        return
    for axis in axes:
        flow.block(inside[axis], f"{called(node)} normalises across them")
    flow.give(node, inside)
