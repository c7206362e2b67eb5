"""Convolutions, plain, grouped, depthwise and transposed: contract their input channels and make new ones."""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Axes, Flow, Labels, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Node


@spreads("Conv")
def conv(node: Node, flow: Flow) -> None:
    """Weight (out, in / group, k…). Output channels are the weight's own."""
    convolve(node, flow)


@spreads("ConvTranspose")
def conv_transpose(node: Node, flow: Flow) -> None:
    """Weight (in, out / group, k…)."""
    convolve(node, flow, transposed=True)


def convolve(node: Node, flow: Flow, *, transposed: bool = False, integer: bool = False) -> None:
    """Follow channels through a convolution; one of integers has no bias, and no zero that a mask could put there."""
    weight, shape = flow.axes(node, 1), flow.shape(node.inputs[1])
    if weight is None or shape is None or not all(isinstance(size, int) for size in shape[:2]):
        flow.give_up(node, "has a weight of unknown shape")
        return
    group = node.attribute("group", 1)
    first, second = (int(size) for size in shape[:2] if isinstance(size, int))
    per_group_in, per_group_out = (first // group, second) if transposed else (second, first // group)
    source = flow.axes(node, 0)
    channels = source[1] if source is not None and len(source) > 1 else None
    if group == 1:
        out = _plain(node, flow, weight, channels, transposed)
    elif min(per_group_in, per_group_out) == 1:
        out = _whole_groups(node, flow, weight, channels, group, per_group_in, per_group_out, transposed)
    else:
        out = _equal_groups(node, flow, weight, channels, group, transposed)
    batch = source[0] if source is not None else None
    if not integer:
        _bias(node, flow, out)
        flow.contract(node, 0)
    flow.give(node, (batch, out, *(None for _ in shape[2:])))


def _plain(node: Node, flow: Flow, weight: Axes, channels: Labels | None, transposed: bool) -> Labels | None:
    out_axis, in_axis = (1, 0) if transposed else (0, 1)
    if weight[in_axis] is not None and channels is not None:
        flow.unify(node, channels, weight[in_axis])
    out = weight[out_axis]
    flow.layer(node, 1, "out", out_axis, out)
    flow.layer(node, 1, "in", in_axis, channels)
    return out


def _equal_groups(
    node: Node, flow: Flow, weight: Axes, channels: Labels | None, group: int, transposed: bool
) -> Labels | None:
    """Keep all groups and make every one narrower: the j-th channel of all groups is one unit."""
    wide = weight[0]
    if wide is None or weight[1] is None:
        flow.give_up(node, "has groups of one channel")
        return None
    _same_in_every_group(node, flow, wide, group)
    narrow_tiled = np.tile(weight[1], group)
    if transposed:
        out = narrow_tiled
        if channels is not None:
            flow.unify(node, channels, wide)
        flow.layer(node, 1, "out", 1, weight[1])
        flow.layer(node, 1, "in", 0, channels)
        return out
    if channels is not None:
        flow.unify(node, channels, narrow_tiled)
    flow.layer(node, 1, "out", 0, wide)
    flow.layer(node, 1, "in", 1, weight[1] if channels is not None else None)
    return wide


def _whole_groups(
    node: Node,
    flow: Flow,
    weight: Axes,
    channels: Labels | None,
    group: int,
    per_group_in: int,
    per_group_out: int,
    transposed: bool,
) -> Labels | None:
    """Depthwise: a group goes with its input channels and all of its output channels."""
    if channels is None:
        out = flow.fresh(group * per_group_out)
        flow.block(out, f"{called(node)} reads channels that can't be removed")
        return out
    leaders = channels[::per_group_in]
    if per_group_in > 1:
        flow.unify(node, channels, np.repeat(leaders, per_group_in))
    out = np.repeat(leaders, per_group_out)
    wide = np.repeat(leaders, per_group_in) if transposed else out
    flow.unify(node, wide, weight[0])
    flow.layer(node, 1, "out", 0, wide, own=False)
    flow.layer(node, 1, "in", 0, wide)
    return out


def _same_in_every_group(node: Node, flow: Flow, labels: Labels, group: int) -> None:
    table = labels.reshape(group, -1)
    for row in table[1:]:
        flow.couple(node, table[0], row)


def _bias(node: Node, flow: Flow, out: Labels | None) -> None:
    bias = flow.axes(node, 2)
    if bias is not None and out is not None:
        flow.unify(node, out, bias[0])


@shrinks("Conv", "ConvTranspose")
def fewer_groups(node: Node, cut: Cut) -> Change | None:
    """A depthwise layer that loses channels has fewer groups."""
    group = node.attribute("group", 1)
    shape = cut.shape(node.inputs[1])
    if group == 1 or shape is None:
        return None
    first, second = shape[0], shape[1]
    stays = cut.input(node, 1)[0]
    if stays is None or not isinstance(first, int) or min(first // group, int(second or 0)) != 1:
        return None
    return Change(attributes={"group": int(stays.sum()) // (first // group)})
