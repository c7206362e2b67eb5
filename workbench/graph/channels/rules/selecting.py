"""Operators that join, cut, pick or pad positions along an axis."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Flow, Labels, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Node


@spreads("Concat")
def concat(node: Node, flow: Flow) -> None:
    """Labels follow each other along `axis`; along the others the inputs are coupled."""
    parts = [flow.axes(node, index) for index in range(len(node.inputs))]
    if any(axes is None for axes in parts):
        flow.give_up(node)
        return
    known = [axes for axes in parts if axes is not None]
    rank = len(known[0])
    axis = node.attribute("axis", 1) % max(rank, 1)
    joined: list[Labels] = []
    followed = any(axes[axis] is not None for axes in known)
    for name, axes in zip(node.inputs, known, strict=True):
        labels = axes[axis]
        if labels is None and followed:
            size = (flow.shape(name) or (None,) * rank)[axis]
            if not isinstance(size, int):
                followed = False
                continue
            labels = flow.fresh(size)
            flow.block(labels, f"{called(node)} joins them from a value that can't lose positions")
        if labels is not None:
            joined.append(labels)
    if not followed:
        for axes in known:
            flow.block(axes[axis], f"{called(node)} joins them with a part of unknown size")
    result: list[Labels | None] = []
    for other in range(rank):
        if other == axis:
            result.append(np.concatenate(joined) if followed else None)
            continue
        labels = known[0][other]
        for axes in known[1:]:
            if labels is not None or axes[other] is not None:
                labels = flow.unify(node, labels, axes[other])
        result.append(labels)
    flow.give(node, result)


def _split_sizes(node: Node, sizes: np.ndarray | None, total: int) -> list[int]:
    given = node.attribute("split")
    if given is not None:
        return [int(size) for size in given]
    if sizes is not None:
        return [int(size) for size in sizes]
    count = node.attribute("num_outputs", len(node.outputs))
    each = -(-total // count)
    return [each] * (count - 1) + [total - each * (count - 1)]


@spreads("Split")
def split(node: Node, flow: Flow) -> None:
    """Each output takes the next positions."""
    axes = flow.axes(node, 0)
    computed = len(node.inputs) > 1 and node.inputs[1] and flow.constant(node, 1) is None
    if axes is None or computed:
        flow.give_up(node)
        return
    axis = node.attribute("axis", 0) % len(axes)
    labels = axes[axis]
    start = 0
    sizes = [] if labels is None else _split_sizes(node, flow.constant(node, 1), len(labels))
    for output in range(len(node.outputs)):
        part = None if labels is None else labels[start : start + sizes[output]]
        start += 0 if labels is None else sizes[output]
        flow.give(node, (*axes[:axis], part, *axes[axis + 1 :]), output)


@shrinks("Split")
def split_parts(node: Node, cut: Cut) -> Change | None:
    """Parts that were equal need not be so any more."""
    inside = cut.input(node, 0)
    if not inside:
        return None
    axis = node.attribute("axis", 0) % len(inside)
    stays = inside[axis]
    if stays is None:
        return None
    edges = np.cumsum([0, *_split_sizes(node, cut.constant(node, 1), len(stays))])
    sizes = [int(stays[start:end].sum()) for start, end in pairwise(edges)]
    if node.attribute("split") is not None or (len(node.inputs) < 2 and cut.opset < 13):
        return Change(attributes={"split": tuple(sizes)})
    return Change(attributes={"num_outputs": None}, inputs={1: np.asarray(sizes, dtype=np.int64)})


@spreads("Slice")
def slice_(node: Node, flow: Flow) -> None:
    """Runs of channels can be cut out; other steps along channels are not followed."""
    axes = flow.axes(node, 0)
    bounds = _bounds(node, flow, len(axes)) if axes else None
    if axes is None or bounds is None:
        flow.give_up(node, "cuts at computed positions")
        return
    result = list(axes)
    for axis, (start, end, step) in bounds.items():
        labels = axes[axis]
        if labels is None:
            continue
        if step != 1 or start is None or end is None:
            flow.block(
                labels, f"{called(node)} takes every {step}th of them" if step != 1 else f"{called(node)} cuts them"
            )
            result[axis] = None
            continue
        begin, stop = _clamped(start, end, len(labels))
        result[axis] = labels[begin:stop]
    flow.give(node, result)


Bounds = dict[int, tuple[int | None, int | None, int]]


def _bounds(node: Node, view: Flow | Cut, rank: int) -> Bounds | None:
    """Return (start, end, step) by axis (None where computed), or None if even the axes are computed."""
    if node.attribute("starts") is not None:
        starts, ends = node.attribute("starts"), node.attribute("ends")
        axes = node.attribute("axes", tuple(range(len(starts))))
        return {axis % rank: (start, end, 1) for axis, start, end in zip(axes, starts, ends, strict=True)}
    parts = [view.constant(node, index) for index in range(1, 5)]
    starts, ends, chosen, steps = (None if part is None else [int(value) for value in part.ravel()] for part in parts)
    if chosen is None:
        if (len(node.inputs) > 3 and node.inputs[3]) or starts is None:
            return None
        chosen = list(range(len(starts)))
    given_steps = len(node.inputs) > 4 and node.inputs[4]
    if steps is None:
        if given_steps:
            return None
        steps = [1] * len(chosen)
    return {
        axis % rank: (None if starts is None else starts[at], None if ends is None else ends[at], steps[at])
        for at, axis in enumerate(chosen)
    }


def _clamped(start: int, end: int, size: int) -> tuple[int, int]:
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)


@shrinks("Slice")
def slice_bounds(node: Node, cut: Cut) -> Change | None:
    """Bounds count channels, so they move with what is removed before them."""
    inside = cut.input(node, 0)
    bounds = _bounds(node, cut, len(inside)) if inside else None
    if not bounds or all(inside[axis] is None for axis in bounds):
        return None
    starts: list[int] = []
    ends: list[int] = []
    given = cut.constant(node, 1)
    kind = np.dtype(np.int64) if given is None else given.dtype
    for axis, (start, end, _) in bounds.items():
        stays = inside[axis]
        if stays is None:
            if start is None or end is None:
                return None
            starts.append(start)
            ends.append(end)
            continue
        first, last = _clamped(start or 0, len(stays) if end is None else end, len(stays))
        starts.append(int(stays[:first].sum()))
        ends.append(int(stays[:last].sum()))
    if node.attribute("starts") is not None:
        return Change(attributes={"starts": tuple(starts), "ends": tuple(ends)})
    return Change(inputs={1: np.asarray(starts, dtype=kind), 2: np.asarray(ends, dtype=kind)})


@spreads("Gather")
def gather(node: Node, flow: Flow) -> None:
    """Constant indices pick channels; a constant table looked up by computed indices is an embedding layer."""
    data, indices, shape = flow.axes(node, 0), flow.constant(node, 1), flow.shape(node.inputs[1])
    if data is None or shape is None:
        flow.give_up(node)
        return
    axis = node.attribute("axis", 0) % max(len(data), 1)
    before, picked, after = data[:axis], data[axis], data[axis + 1 :]
    middle: tuple[Labels | None, ...] = (None,) * len(shape)
    if indices is None:
        flow.block(picked, f"{called(node)} picks them by computed indices")
        if node.inputs[1] in flow.values:
            for labels in flow.values[node.inputs[1]]:
                flow.block(labels, f"{called(node)} uses them as indices")
        if axis == 0 and len(data) == 2 and flow.is_weight(node, 0):
            flow.layer(node, 0, "out", 1, data[1])
    elif picked is not None:
        chosen = picked[indices.astype(np.int64)]
        if indices.ndim == 1:
            middle = (chosen,)
        else:
            flow.block(
                chosen.ravel(), f"{called(node)} picks it alone" if indices.ndim == 0 else f"{called(node)} sorts them"
            )
    flow.give(node, (*before, *middle, *after))


@shrinks("Gather")
def gather_indices(node: Node, cut: Cut) -> Change | None:
    """Indices count channels too."""
    inside, indices = cut.input(node, 0), cut.constant(node, 1)
    if not inside or indices is None:
        return None
    stays = inside[node.attribute("axis", 0) % len(inside)]
    if stays is None:
        return None
    positions = np.where(indices < 0, indices + len(stays), indices).astype(np.int64)
    moved = np.cumsum(stays) - 1
    kept = positions[stays[positions]] if indices.ndim == 1 else positions
    return Change(inputs={1: moved[kept].astype(indices.dtype)})


@spreads("Pad")
def pad(node: Node, flow: Flow) -> None:
    """Padding positions are atoms of their own: whoever adds the value couples them with real channels."""
    axes = flow.axes(node, 0)
    amounts = _pad_amounts(node, flow, len(axes)) if axes else None
    if axes is None or amounts is None:
        flow.give_up(node, "pads by computed amounts")
        return
    constant_mode = node.attribute("mode", "constant") == "constant"
    result: list[Labels | None] = []
    for labels, (begin, end) in zip(axes, amounts, strict=True):
        if labels is None or (begin, end) == (0, 0):
            result.append(labels if (begin, end) == (0, 0) else None)
            continue
        if not constant_mode:
            flow.block(labels, f"{called(node)} pads with copies of them")
            result.append(None)
            continue
        inner = labels[max(0, -begin) : len(labels) - max(0, -end)]
        result.append(np.concatenate([flow.fresh(max(0, begin)), inner, flow.fresh(max(0, end))]))
    flow.give(node, result)


def _pad_amounts(node: Node, view: Flow | Cut, rank: int) -> list[tuple[int, int]] | None:
    flat = node.attribute("pads")
    if flat is None:
        array = view.constant(node, 1)
        if array is None:
            return None
        flat = [int(value) for value in array.ravel()]
    half = len(flat) // 2
    chosen = list(range(half))
    if len(node.inputs) > 3 and node.inputs[3]:
        given = view.constant(node, 3)
        if given is None:
            return None
        chosen = [int(axis) % rank for axis in given.ravel()]
    amounts = [(0, 0)] * rank
    for at, axis in enumerate(chosen):
        amounts[axis] = (int(flat[at]), int(flat[half + at]))
    return amounts


@shrinks("Pad")
def pad_amounts(node: Node, cut: Cut) -> Change | None:
    """Padding positions that are removed are simply not added."""
    inside, outside = cut.input(node, 0), cut.output(node)
    amounts = _pad_amounts(node, cut, len(outside)) if outside else None
    if amounts is None:
        return None
    changed = list(amounts)
    for axis, (begin, end) in enumerate(amounts):
        before, after = inside[axis], outside[axis]
        if (begin, end) == (0, 0) or (before is None and after is None):
            continue
        first = begin if after is None or begin <= 0 else int(after[:begin].sum())
        last = end if after is None or end <= 0 else int(after[len(after) - end :].sum())
        if before is not None and begin < 0:
            first = -int(before[:-begin].sum())
        if before is not None and end < 0:
            last = -int(before[end:].sum())
        changed[axis] = (first, last)
    if changed == amounts:
        return None
    chosen = list(range(len(changed)))
    if len(node.inputs) > 3 and node.inputs[3]:
        given = cut.constant(node, 3)
        chosen = [] if given is None else [int(axis) % len(changed) for axis in given.ravel()]
    flat = [changed[axis][0] for axis in chosen] + [changed[axis][1] for axis in chosen]
    if node.attribute("pads") is not None:
        return Change(attributes={"pads": tuple(flat)})
    return Change(inputs={1: np.asarray(flat, dtype=np.int64)})
