"""Reshape and Flatten: which positions of the new axes come from which channels.

Both shapes are cut into runs of axes with equal products. Within a run every axis that carries channels hands them to
one new axis: to the one along which no coupling is needed (a flattened feature map, a second half of a channel
shuffle), else to the one that keeps most freedom, coupling what lies across it (channel shuffle: one channel of every
group; attention heads: the same dimension of every head).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Flow, Labels, called
from workbench.graph.channels.registry import Change, shrinks, spreads
from workbench.graph.model import Dimension, Node

Run = tuple[tuple[int, ...], tuple[int, ...]]
# The operator set that brought Where, which puts new sizes into computed targets.
_WHERE = 9


@spreads("Reshape", "Flatten")
def reshape(node: Node, flow: Flow) -> None:
    """Follow channels through the runs; block those of runs whose sizes are unknown."""
    axes, before, after = flow.axes(node, 0), flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    if axes is None or before is None or after is None:
        flow.give_up(node, "reshapes to an unknown shape")
        return
    if node.op == "Reshape" and flow.constant(node, 1) is None and flow.graph.opset < _WHERE:
        flow.give_up(node, "reshapes to a computed shape")
        return
    result: list[Labels | None] = [None] * len(after)
    for old, new in runs(before, after):
        sizes_old, sizes_new = [before[axis] for axis in old], [after[axis] for axis in new]
        if len(old) == len(new) == 1:
            result[new[0]] = axes[old[0]]
            continue
        known_old = [size for size in sizes_old if isinstance(size, int)]
        known_new = [size for size in sizes_new if isinstance(size, int)]
        if len(known_old) < len(old) or len(known_new) < len(new):
            for axis in old:
                flow.block(axes[axis], f"{called(node)} mixes them with an axis of unknown size")
            continue
        heads = flow.heads.get(node.name)
        preferred = new.index(heads) if heads in new else None
        carried = _carry(node, flow, [axes[axis] for axis in old], known_old, known_new, preferred)
        for axis, labels in zip(new, carried, strict=True):
            result[axis] = labels
    flow.give(node, result)


def runs(before: tuple[Dimension, ...], after: tuple[Dimension, ...]) -> list[Run]:
    """Cut two shapes of the same number of elements into the shortest runs of axes with equal products.

    Symbolic dimensions match themselves; what lies between unknown ones is one run.
    """
    head: list[Run] = []
    start_old = start_new = 0
    while start_old < len(before) and start_new < len(after):
        run = _next_run(before, after, start_old, start_new)
        if run is None:
            break
        head.append(run)
        start_old, start_new = run[0][-1] + 1, run[1][-1] + 1
    tail: list[Run] = []
    end_old, end_new = len(before), len(after)
    rest_old, rest_new = before[start_old:], after[start_new:]
    flipped_old, flipped_new = rest_old[::-1], rest_new[::-1]
    at_old = at_new = 0
    while at_old < len(rest_old) and at_new < len(rest_new):
        run = _next_run(flipped_old, flipped_new, at_old, at_new)
        if run is None:
            break
        at_old, at_new = run[0][-1] + 1, run[1][-1] + 1
        olds = tuple(sorted(len(before) - 1 - axis for axis in run[0]))
        news = tuple(sorted(len(after) - 1 - axis for axis in run[1]))
        tail.append((olds, news))
        end_old, end_new = olds[0], news[0]
    middle = (tuple(range(start_old, end_old)), tuple(range(start_new, end_new)))
    return [*head, *([middle] if middle[0] or middle[1] else []), *reversed(tail)]


def _next_run(
    before: tuple[Dimension, ...], after: tuple[Dimension, ...], start_old: int, start_new: int
) -> Run | None:
    """Return the next run of equal products, or None before a dimension that is not known."""
    first, second = before[start_old], after[start_new]
    if isinstance(first, str) and first == second:
        return (start_old,), (start_new,)
    if not isinstance(first, int) or not isinstance(second, int):
        return None
    end_old, end_new = start_old, start_new
    while first != second:
        if first < second:
            end_old += 1
            step = before[end_old] if end_old < len(before) else None
            if not isinstance(step, int):
                return None
            first *= step
        else:
            end_new += 1
            step = after[end_new] if end_new < len(after) else None
            if not isinstance(step, int):
                return None
            second *= step
    return tuple(range(start_old, end_old + 1)), tuple(range(start_new, end_new + 1))


def _carry(
    node: Node, flow: Flow, axes: list[Labels | None], before: list[int], after: list[int], heads: int | None
) -> list[Labels | None]:
    """Return the labels of a run's new axes, coupling and blocking where they can't be told apart."""
    result: list[Labels | None] = [None] * len(after)
    labelled = [(flow.is_copy(labels), -before[axis], axis) for axis, labels in enumerate(axes) if labels is not None]
    for _, _, axis in sorted(labelled):
        labels = axes[axis]
        if labels is None:
            continue
        shape = [1] * len(before)
        shape[axis] = -1
        spread = np.broadcast_to(labels.reshape(shape), before).reshape(after)
        free = [new for new, size in enumerate(after) if size > 1 and result[new] is None]
        chosen = heads if flow.whole_heads and heads in free else _best(spread, [new for new in free if new != heads])
        if chosen is None:
            flow.block(labels, f"{called(node)} mixes them with another axis")
            continue
        rows = np.moveaxis(spread, chosen, 0).reshape(after[chosen], -1)
        for column in range(1, rows.shape[1]):
            if not np.array_equal(rows[:, 0], rows[:, column]):
                flow.couple(node, rows[:, 0].copy(), rows[:, column].copy())
        result[chosen] = rows[:, 0].copy()
    return result


def _best(spread: np.ndarray, free: list[int]) -> int | None:
    """Return the new axis that needs no coupling, else the one that leaves most units (the inner one of equals)."""
    best, most = None, 1
    for axis in free:
        rows = np.moveaxis(spread, axis, 0).reshape(spread.shape[axis], -1)
        if (rows == rows[:, :1]).all():
            return axis
        units = _units(rows)
        if units >= most and units > 1:
            best, most = axis, units
    return best


def _units(rows: np.ndarray) -> int:
    """Return into how many independent parts the rows fall when all labels of a row go together."""
    names, inverse = np.unique(rows, return_inverse=True)
    row = np.repeat(np.arange(rows.shape[0]), rows.shape[1])
    column = inverse.ravel() + rows.shape[0]
    size = rows.shape[0] + len(names)
    links = coo_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(size, size))
    return int(connected_components(links, directed=False)[0])


@shrinks("Reshape")
def reshape_target(node: Node, cut: Cut) -> Change | None:
    """Write the new numbers of channels into the target, be it stored or computed."""
    stays, given = cut.output(node), cut.constant(node, 1)
    sizes = [None if kept is None else int(kept.sum()) for kept in stays]
    if all(size is None for size in sizes):
        return None
    if given is None:
        return Change(elements={1: sizes})
    # An open size works itself out.
    return Change(
        inputs={
            1: np.asarray(
                [old if size is None or old == -1 else size for old, size in zip(given.tolist(), sizes, strict=True)],
                dtype=np.int64,
            )
        }
    )
