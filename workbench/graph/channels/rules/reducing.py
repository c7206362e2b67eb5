"""Reductions: kept axes pass; over channels a reduction is that of the channels which are left."""

from __future__ import annotations

from workbench.graph.channels.flow import Averaging, Fill, Flow, called
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSum", "ReduceSumSquare")
def sums(node: Node, flow: Flow) -> None:
    """A zero adds nothing."""
    _reduce(node, flow, "zero")


@spreads("ReduceLogSumExp", "ReduceMax")
def largest(node: Node, flow: Flow) -> None:
    """The lowest of all numbers is never the largest."""
    _reduce(node, flow, "low")


@spreads("ReduceMin")
def smallest(node: Node, flow: Flow) -> None:
    """The highest of all numbers is never the smallest."""
    _reduce(node, flow, "high")


@spreads("ReduceProd")
def product(node: Node, flow: Flow) -> None:
    """A one changes no product."""
    _reduce(node, flow, "one")


@spreads("ReduceMean")
def mean(node: Node, flow: Flow) -> None:
    """The mean of what is left."""
    _reduce(node, flow, None)


def _reduce(node: Node, flow: Flow, fill: Fill | None) -> None:
    axes = flow.axes(node, 0)
    reduced = _axes(node, flow, len(axes or ()))
    if axes is None or reduced is None:
        flow.give_up(node)
        return
    if any(axes[axis] is not None for axis in reduced):
        if fill is None:
            flow.average(node, Averaging(tuple(sorted(reduced)), "mean"))
        else:
            flow.contract(node, 0, fill=fill)
    keep = node.attribute("keepdims", 1)
    flow.give(
        node, [None if axis in reduced else labels for axis, labels in enumerate(axes) if keep or axis not in reduced]
    )


def _axes(node: Node, flow: Flow, rank: int) -> frozenset[int] | None:
    """Return the reduced axes, or None if they are computed."""
    chosen = node.attribute("axes")
    if chosen is None and len(node.inputs) > 1 and node.inputs[1]:
        array = flow.constant(node, 1)
        if array is None:
            return None
        chosen = tuple(int(axis) for axis in array.ravel())
    if not chosen:
        return frozenset() if node.attribute("noop_with_empty_axes", 0) else frozenset(range(rank))
    return frozenset(axis % rank for axis in chosen) if rank else frozenset()


@spreads("ArgMax", "ArgMin")
def arg(node: Node, flow: Flow) -> None:
    """The result counts positions along `axis`."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    axis = node.attribute("axis", 0) % len(axes)
    flow.block(axes[axis], f"{called(node)} counts them")
    keep = node.attribute("keepdims", 1)
    flow.give(node, [None if at == axis else labels for at, labels in enumerate(axes) if keep or at != axis])


@spreads("CumSum")
def cumulative(node: Node, flow: Flow) -> None:
    """Zero channels would show the running sum, removed ones don't: block that axis, or all if it is computed."""
    axes, chosen = flow.axes(node, 0), flow.constant(node, 1)
    if axes is None or chosen is None:
        flow.give_up(node)
        return
    flow.block(axes[int(chosen.ravel()[0])], f"{called(node)} sums along them")
    flow.give(node, axes)
