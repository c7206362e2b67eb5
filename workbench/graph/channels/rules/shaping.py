"""Operators that move, add, drop or repeat whole axes, and those that read shapes."""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Axes, Flow, Labels, called
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
    """Copies along axes of size 1: any of the copies can go."""
    axes, shape, after = flow.axes(node, 0), flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    if axes is None or shape is None or after is None or not _writable(node, flow, 1):
        flow.give_up(node)
        return
    tags = _tags(node, flow, 1, len(after))
    result: list[Labels | None] = []
    for axis in range(-len(after), 0):
        labels = axes[axis] if len(axes) >= -axis else None
        wanted, tag = after[axis], tags[axis]
        if labels is not None and len(labels) > 1:
            result.append(labels if tag is None else flow.unify(node, labels, tag))
        elif len(shape) >= -axis and shape[axis] != 1:
            flow.block(tag, f"{called(node)} joins them with an axis that can't lose positions")
            result.append(None)
        elif tag is not None:
            result.append(tag)
        else:
            result.append(flow.copies(wanted) if isinstance(wanted, int) and wanted > 1 else None)
    flow.give(node, result)


def _writable(node: Node, flow: Flow, index: int) -> bool:
    """Whether new sizes can be put into the input that holds a shape (Where came with operator set 9)."""
    return flow.constant(node, index) is not None or flow.graph.opset >= 9


def _tags(node: Node, flow: Flow, index: int, rank: int) -> Axes:
    tags = flow.tags.get(node.inputs[index], ())
    return (*(None for _ in range(rank - len(tags))), *tags)


@shrinks("Expand")
def expand_target(node: Node, cut: Cut) -> Change | None:
    """The target names the number of copies and of channels."""
    target, stays, shape = cut.constant(node, 1), cut.output(node), cut.shape(node.inputs[1])
    if shape is None or not isinstance(shape[0], int):
        return None
    # A target may have fewer axes than the value, and leave an axis as it is with 1.
    sizes: list[int | None] = []
    for axis in range(-shape[0], 0):
        kept = stays[axis] if len(stays) >= -axis else None
        sizes.append(None if kept is None or (target is not None and target[axis] == 1) else int(kept.sum()))
    return _sizes(target, sizes, index=1)


def _sizes(target: np.ndarray | None, sizes: list[int | None], *, index: int) -> Change | None:
    if all(size is None for size in sizes):
        return None
    if target is None:
        return Change(elements={index: sizes})
    changed = [old if size is None else size for old, size in zip(target.tolist(), sizes, strict=True)]
    return Change(inputs={index: np.asarray(changed, dtype=np.int64)})


@spreads("ConstantOfShape")
def filled(node: Node, flow: Flow) -> None:
    """The same number everywhere: any position can go."""
    after = flow.shape(node.outputs[0])
    if after is None or not _writable(node, flow, 0):
        flow.give_up(node)
        return
    tags = _tags(node, flow, 0, len(after))
    flow.give(
        node,
        [
            tag if tag is not None else (flow.fresh(size) if isinstance(size, int) and size > 1 else None)
            for size, tag in zip(after, tags, strict=True)
        ],
    )


@shrinks("ConstantOfShape")
def filled_size(node: Node, cut: Cut) -> Change | None:
    """The shape names the number of channels."""
    sizes = [None if kept is None else int(kept.sum()) for kept in cut.output(node)]
    return _sizes(cut.constant(node, 0), sizes, index=0)


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
            flow.couple(node, table[0], row)
        if table.shape[1] == 1:
            flow.block(channels, f"{called(node)} makes one channel of them")
        channels = table[0] if table.shape[1] > 1 else None
    flow.give(node, (axes[0], channels, None, None))


@spreads("Shape", "Size")
def shapes(node: Node, flow: Flow) -> None:
    """Results hold no channels; who computes with the number of channels is found by `trace_shape`."""
    if node.op == "Size":
        for labels in flow.axes(node, 0) or ():
            flow.block(labels, f"{called(node)} counts them")
    shape = flow.shape(node.outputs[0])
    flow.give(node, (None,) * (1 if shape is None and node.op == "Shape" else len(shape or ())))
