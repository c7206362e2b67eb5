"""Pooling and resizing: channels pass, positions in space do not."""

from __future__ import annotations

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Flow, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Node


@spreads(
    "AveragePool", "Crop", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool",
)  # fmt: skip
def pool(node: Node, flow: Flow) -> None:
    """Batch and channel axes pass."""
    axes = flow.axes(node, 0)
    if axes is None or len(axes) < 3:
        flow.give_up(node)
        return
    for labels in axes[2:]:
        flow.block(labels, f"{called(node)} mixes them")
    for output in range(len(node.outputs)):
        flow.give(node, (*axes[:2], *(None for _ in axes[2:])), output)


@spreads("ImageScaler")
def image_scaler(node: Node, flow: Flow) -> None:
    """A bias per channel in an attribute."""
    axes = flow.axes(node, 0)
    flow.give_up(node) if axes is None else flow.give(node, axes)


@spreads("Resize", "Upsample")
def resize(node: Node, flow: Flow) -> None:
    """Axes that keep their size pass."""
    axes, before, after = flow.axes(node, 0), flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    if axes is None or before is None:
        flow.give_up(node)
        return
    scales = _scales(node, flow)
    index = _sizes_input(node)
    sizes_known = index is None or flow.constant(node, index) is not None
    tags = flow.tags.get(node.inputs[index], ()) if index is not None else ()
    if index is not None and node.attribute("axes") is not None:
        flow.give_up(node, "resizes chosen axes to computed sizes")
        return
    result = []
    for axis, labels in enumerate(axes):
        kept = scales[axis] == 1.0 if scales is not None else _same(before, after, axis)
        tag = tags[axis] if axis < len(tags) else None
        fed = sizes_known or (tag is not None and labels is not None and np.array_equal(tag, labels))
        if labels is not None and not (kept and fed):
            flow.block(labels, f"{called(node)} resizes along them")
        result.append(labels if kept and fed else None)
    flow.give(node, result)


def _same(before: tuple[object, ...], after: tuple[object, ...] | None, axis: int) -> bool:
    return after is not None and isinstance(before[axis], int) and before[axis] == after[axis]


def _sizes_input(node: Node) -> int | None:
    return 3 if node.op == "Resize" and len(node.inputs) > 3 and node.inputs[3] else None


def _scales(node: Node, flow: Flow) -> tuple[float, ...] | None:
    given = node.attribute("scales")
    if given is not None:
        return tuple(given)
    index = 1 if node.op == "Upsample" or len(node.inputs) == 2 else 2
    array = flow.constant(node, index)
    rank = len(flow.axes(node, 0) or ())
    if array is None or array.size == 0:
        return None
    chosen = node.attribute("axes")
    if chosen is None:
        return tuple(float(value) for value in array.ravel()) if array.size == rank else None
    full = [1.0] * rank
    for axis, value in zip(chosen, array.ravel(), strict=True):
        full[axis] = float(value)
    return tuple(full)


@shrinks("Resize")
def resize_sizes(node: Node, cut: Cut) -> Change | None:
    """Sizes given as a constant name the number of channels too."""
    index = _sizes_input(node)
    sizes = None if index is None else cut.constant(node, index)
    if index is None or sizes is None:
        return None
    changed = sizes.copy()
    for axis, stays in enumerate(cut.output(node)):
        if stays is not None:
            changed[axis] = stays.sum()
    return Change(inputs={index: changed})
