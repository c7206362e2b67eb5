"""Operators that move, add, drop or repeat whole axes, and those that read shapes."""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Flow, Labels, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Node


@spreads("Transpose")
def transpose(node: Node, flow: Flow) -> None:
    """Axes change places."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    flow.give(node, [axes[axis] for axis in node.attribute("perm", tuple(range(len(axes)))[::-1])])


def _chosen_axes(node: Node, flow: Flow) -> tuple[int, ...] | None:
    given = node.attribute("axes")
    if given is None:
        given = flow.constant(node, 1)
    return None if given is None else tuple(int(axis) for axis in np.ravel(given))


@spreads("Unsqueeze")
def unsqueeze(node: Node, flow: Flow) -> None:
    """New axes of size 1."""
    axes, chosen = flow.axes(node, 0), _chosen_axes(node, flow)
    if axes is None or chosen is None:
        flow.give_up(node)
        return
    rank = len(axes) + len(chosen)
    new = {axis % rank for axis in chosen}
    rest = iter(axes)
    flow.give(node, [None if axis in new else next(rest) for axis in range(rank)])


@spreads("Squeeze")
def squeeze(node: Node, flow: Flow) -> None:
    """Axes of size 1 go; without `axes`, those that are 1 now, which must not become others."""
    axes, chosen, shape = flow.axes(node, 0), _chosen_axes(node, flow), flow.shape(node.inputs[0])
    if axes is None or (chosen is None and (shape is None or not all(isinstance(size, int) for size in shape))):
        flow.give_up(node)
        return
    gone = [axis for axis, size in enumerate(shape or ()) if size == 1] if chosen is None else list(chosen)
    dropped = {axis % len(axes) for axis in gone}
    for axis in dropped:
        flow.block(axes[axis], f"{called(node)} picks it alone")
    flow.give(node, [labels for axis, labels in enumerate(axes) if axis not in dropped])


@spreads("Expand")
def expand(node: Node, flow: Flow) -> None:
    """Copies along axes of size 1: any of the copies can go, if the target shape is a constant."""
    axes, target, shape = flow.axes(node, 0), flow.constant(node, 1), flow.shape(node.inputs[0])
    if axes is None or shape is None or target is None:
        flow.give_up(node)
        return
    rank = max(len(axes), target.size)
    result: list[Labels | None] = []
    for axis in range(-rank, 0):
        labels = axes[axis] if len(axes) >= -axis else None
        wanted = int(target[axis]) if target.size >= -axis else 1
        if labels is not None and len(labels) > 1:
            result.append(labels)
        else:
            result.append(flow.fresh(wanted) if wanted > 1 else None)
    flow.give(node, result)


@shrinks("Expand")
def expand_target(node: Node, cut: Cut) -> Change | None:
    """The target names the number of copies and of channels."""
    target = cut.constant(node, 1)
    if target is None:
        return None
    changed = target.copy()
    stays = cut.output(node)
    for axis in range(-min(target.size, len(stays)), 0):
        kept = stays[axis]
        if kept is not None and target[axis] != 1:
            changed[axis] = kept.sum()
    return Change(inputs={1: changed})


@spreads("Tile")
def tile(node: Node, flow: Flow) -> None:
    """Repeats: every copy of a channel goes with it."""
    axes, repeats = flow.axes(node, 0), flow.constant(node, 1)
    if axes is None or repeats is None:
        flow.give_up(node)
        return
    flow.give(
        node, [None if labels is None else np.tile(labels, int(n)) for labels, n in zip(axes, repeats, strict=True)]
    )


@spreads("DepthToSpace", "SpaceToDepth")
def depth_to_space(node: Node, flow: Flow) -> None:
    """Channels that become one pixel's neighbours (or come from one pixel block) go together."""
    axes, block = flow.axes(node, 0), node.attribute("blocksize", 1)
    if axes is None or len(axes) != 4:
        flow.give_up(node)
        return
    for labels in axes[2:]:
        flow.block(labels, f"{called(node)} mixes them with channels")
    channels = axes[1]
    if channels is not None and node.op == "SpaceToDepth":
        channels = np.tile(channels, block * block)
    elif channels is not None:
        column_first = node.attribute("mode", "DCR") == "DCR"
        table = channels.reshape(block * block, -1) if column_first else channels.reshape(-1, block * block).T
        for row in table[1:]:
            flow.pairs.append((table[0], row))
        if table.shape[1] == 1:
            flow.block(channels, f"{called(node)} makes one channel of them")
        channels = table[0] if table.shape[1] > 1 else None
    flow.give(node, (axes[0], channels, None, None))


@spreads("Shape", "Size", "ConstantOfShape")
def shapes(node: Node, flow: Flow) -> None:
    """Results hold no channels; who computes with the number of channels is found by `trace_shape`."""
    if node.op == "Size":
        for labels in flow.axes(node, 0) or ():
            flow.block(labels, f"{called(node)} counts them")
    if node.op == "ConstantOfShape":
        shape = flow.shape(node.outputs[0])
        axes = flow.fixed(shape, f"{called(node)} makes a value of fixed size")
        if axes is not None:
            flow.give(node, axes)
        return
    shape = flow.shape(node.outputs[0])
    flow.give(node, (None,) * (1 if shape is None and node.op == "Shape" else len(shape or ())))
