"""What layers read on calibration samples, as the second moments that rounding by its effect on outputs needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.api import (
    LayerRows,
    ModelGraph,
    Node,
    Progress,
    RowMoments,
    RowObserver,
    Tools,
    WeightLayout,
    needed_data,
    not_finite,
    observe_samples,
    parts_within,
)

_MOMENT_BYTES = 1_000_000_000
_WIDEST = 12_288


@dataclass(frozen=True)
class Read:
    """A weight, the layers that read it, and how it lies: matrices (groups, out, columns)."""

    weight: str
    nodes: tuple[Node, ...]
    layout: WeightLayout


def read_weights(graph: ModelGraph, layers: Sequence[str]) -> tuple[dict[str, Read], dict[str, str]]:
    """Return the weights of the named layers by name, and why others can't be rounded by what they read, by layer."""
    found: dict[str, Read] = {}
    left: dict[str, str] = {}
    for name in layers:
        node = graph.node(name)
        reason = _why_not(graph, node)
        if reason is not None:
            left[name] = reason
            continue
        weight, layout = node.inputs[1], WeightLayout.of(graph, node)
        before = found.get(weight)
        if before is not None and before.layout != layout:
            left[name] = f"it reads the weight of {before.nodes[0].name!r} in another way"
            continue
        found[weight] = Read(weight, (*(() if before is None else before.nodes), node), layout)
    return found, left


def second_moments(
    graph: ModelGraph,
    weights: Mapping[str, Read],
    tools: Tools,
    samples: int,
    method: str,
    progress: Progress,
    take: Callable[[Read, np.ndarray], None],
) -> None:
    """Hand out E[x x^T] (groups, columns, columns) of what reads each weight, as many at a time as 1 GB holds.

    Args:
        graph: The model.
        weights: To observe, by name.
        tools: Of the run.
        samples: How many at the most.
        method: For messages.
        progress: Of this.
        take: Called for each weight with its moments.

    Raises:
        DataError: the recipe names no data, or values are not finite.
        CancelledError: tools.cancel was set.
    """
    data = needed_data(tools, method, "round to the nearest level, which needs no samples")
    goes = parts_within(weights.values(), lambda each: 8 * each.layout.groups * each.layout.columns**2, _MOMENT_BYTES)
    for number, go in enumerate(goes):
        moments = {each.weight: RowMoments(each.layout.groups, each.layout.columns) for each in go}
        observers = [
            (node.inputs[0], RowObserver(LayerRows(node, each.layout.kernel, each.layout.groups), moments[each.weight]))
            for each in go
            for node in each.nodes
        ]
        part = progress.part(number / len(goes), (number + 1) / len(goes), "calibration")
        observe_samples(graph, observers, data, tools, samples, progress=part.part(0.0, 0.8))
        for each in go:
            tools.cancel.raise_if_cancelled()
            if not moments[each.weight].finite:
                raise not_finite("what the layer reads", f"layer {each.nodes[0].name!r}")
            take(each, moments.pop(each.weight).second())
        part.update(1.0)


def output_error(change: np.ndarray, second: np.ndarray) -> float:
    """Return the sum over outputs of the mean square that a change (…, out, columns) of a weight makes."""
    return float(max(np.sum((change @ second) * change), 0.0))


def _why_not(graph: ModelGraph, node: Node) -> str | None:
    if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return f"{node.op} reads no activations that its weight multiplies"
    shape = graph.constant_shape(node.inputs[1])
    if shape is None or node.inputs[1] not in graph.initializers:
        return "its weight is not a stored constant on the right-hand side"
    if node.op in ("Gemm", "MatMul") and len(shape) != 2:
        return f"its weight has {len(shape)} dimensions instead of 2"
    if node.op == "ConvTranspose" and (
        node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.attribute("output_shape")
    ):
        return "its padding follows from the size of its output"
    if WeightLayout.of(graph, node).columns > _WIDEST:
        return f"more than {_WIDEST:,} weights make one output"
    return None
