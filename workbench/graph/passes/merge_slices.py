"""Merges slices that follow each other, which exporters write one axis at a time: each costs a pass over the data."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.remembered import once_per_graph
from workbench.graph.surgery import add_initializer, free_name

_LAST = np.iinfo(np.int64).max


@once_per_graph
def merge_slices(graph: ModelGraph) -> ModelGraph:
    """Return the graph with consecutive slices along different axes joined; the last one's name and output stay.

    Exact: every element of the output comes from the same place. Slices whose bounds are computed, or whose
    intermediate result others read too, stay. Needs opset 10 or newer; older graphs are returned as they are.
    """
    if graph.opset < 10 or not any(node.op == "Slice" for node in graph.nodes):
        return graph
    model = graph.edit()
    changed = False
    for second in tuple(model.graph):
        while (first := _predecessor(second)) is not None:
            left, right = _bounds(first), _bounds(second)
            if left is None or right is None or {axis for axis, *_ in left} & {axis for axis, *_ in right}:
                break
            columns = np.array(left + right, dtype=np.int64).T
            second.resize_inputs(5)
            second.replace_input_with(0, first.inputs[0])
            for position, (kind, column) in enumerate(
                zip(("starts", "ends", "axes", "steps"), (columns[1], columns[2], columns[0], columns[3]), strict=True),
                1,
            ):
                name = free_name(model, f"{second.name}_{kind}")
                second.replace_input_with(position, add_initializer(model, name, column))
            model.graph.remove(first, safe=True)
            changed = True
    return graph.edited(model) if changed else graph


def _predecessor(node: ir.Node) -> ir.Node | None:
    """Return the slice whose output only `node`, a slice too, reads."""
    if node.op_type != "Slice" or node.domain not in ("", "ai.onnx") or node.inputs[0] is None:
        return None
    value = node.inputs[0]
    first = value.producer()
    if first is None or first.op_type != "Slice" or first.domain not in ("", "ai.onnx"):
        return None
    return first if len(tuple(value.uses())) == 1 and not value.is_graph_output() else None


def _bounds(node: ir.Node) -> list[tuple[int, int, int, int]] | None:
    """Return (axis, start, end, step) of each sliced axis, or None where they are not constant non-negative axes."""
    columns: list[list[int] | None] = []
    for position in (3, 1, 2, 4):
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is None:
            columns.append(None)
            continue
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is None:
            return None
        columns.append([int(item) for item in tensor.numpy().reshape(-1)])
    axes, starts, ends, steps = columns
    if starts is None or ends is None:
        return None
    axes = axes if axes is not None else list(range(len(starts)))
    # A negative axis may be the same as a positive one of the other slice.
    if any(axis < 0 for axis in axes):
        return None
    return list(zip(axes, starts, [min(end, _LAST) for end in ends], steps or [1] * len(starts), strict=True))
