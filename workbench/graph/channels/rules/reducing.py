"""Reductions: kept axes pass; sums over channels count a removed one as zero, other reductions need all."""

from __future__ import annotations

from workbench.graph.channels.flow import Flow, called
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads("ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare")
def sums(node: Node, flow: Flow) -> None:
    """A zero adds nothing."""
    _reduce(node, flow, zero_is_neutral=True)


@spreads("ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")
def others(node: Node, flow: Flow) -> None:
    """A zero is not neutral here: a mean over fewer channels is another mean."""
    _reduce(node, flow, zero_is_neutral=False)


def _reduce(node: Node, flow: Flow, *, zero_is_neutral: bool) -> None:
    axes = flow.axes(node, 0)
    reduced = _axes(node, flow, len(axes or ()))
    if axes is None or reduced is None:
        flow.give_up(node)
        return
    for axis in reduced:
        if axes[axis] is None:
            continue
        if zero_is_neutral:
            flow.contract(node, 0)
        else:
            flow.block(axes[axis], f"{called(node)} reduces over them")
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
