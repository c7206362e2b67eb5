"""Takes apart what exporters merge only to split it again, so that batch, heads and channels stay axes of their own.

Attention is written as Reshape to (time, batch · heads, depth), Transpose, Reshape to (batch, heads, time, depth), or
its keys are transposed as (batch · heads, time, depth). With an open batch size nobody can follow heads through the
merged axis. The same is done without merging: Reshape to (time, batch, heads, depth), then one Transpose.

Notation: `factors` are the sizes that the merged and split axes are products of; every axis is a tuple of them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from workbench.graph.model import Dimension, ModelGraph, Node
from workbench.graph.shapes import static_values
from workbench.graph.statics import Statics
from workbench.graph.surgery import add_initializer, free_name, remove_unused

Factors = tuple[Dimension, ...]


def straighten_reshapes(graph: ModelGraph) -> ModelGraph:
    """Return the graph with Reshape-Transpose-Reshape chains that merge and split again rewritten; exact.

    The result of a chain keeps its name. Graphs without such chains are returned as they are.
    """
    if not any(_between_reshapes(graph, node) for node in graph.nodes if node.op == "Transpose"):
        return graph
    statics = static_values(graph)
    model = graph.edit()
    changed = [_straighten(model, node, statics) for node in list(model.graph) if node.op_type == "Transpose"]
    if not any(changed):
        return graph
    remove_unused(model)
    return graph.edited(model)


def _between_reshapes(graph: ModelGraph, transpose: Node) -> bool:
    first, readers = graph.producer(transpose.inputs[0]), graph.consumers(transpose.outputs[0])
    return first is not None and first.op == "Reshape" and any(reader.op == "Reshape" for reader in readers)


def _straighten(model: ir.Model, transpose: ir.Node, statics: Statics) -> bool:
    chain = _chain(transpose)
    if chain is None:
        return False
    first, last = chain
    before, merged, after = (
        statics.shapes.get(value.name or "") if value is not None else None
        for value in (first.inputs[0], first.outputs[0], last.outputs[0])
    )
    perm = transpose.attributes.get_ints("perm", None)
    if before is None or merged is None or after is None or perm is None or None in before:
        return False
    axes = regroup(before, merged)
    if axes is None or all(len(axis) <= 1 for axis in axes):
        return False
    turned = regroup(tuple(factor for axis in perm for factor in axes[axis]), after)
    if turned is None or any(len(axis) != 1 for axis in turned):
        return False
    factors = tuple(factor for axis in axes for factor in axis)
    if len(factors) != len(turned):
        return False
    starts = np.cumsum([0, *(len(axis) for axis in axes)])
    order = [at for axis in perm for at in range(int(starts[axis]), int(starts[axis + 1]))]
    target = _target(before, factors)
    if target is None:
        return False
    source = first.inputs[0]
    if factors == before:
        transpose.replace_input_with(0, source)
    else:
        stored = add_initializer(model, free_name(model, f"{first.name}_shape"), target)
        first.replace_input_with(1, stored)
        first.attributes.pop("allowzero", None)
        first.outputs[0].shape = None
    transpose.attributes["perm"] = ir.AttrInt64s("perm", order)
    result, name = transpose.outputs[0], last.outputs[0].name
    last.outputs[0].replace_all_uses_with(result)
    model.graph.remove(last, safe=True)
    result.name, result.shape = name, ir.Shape(after)
    return True


def _chain(transpose: ir.Node) -> tuple[ir.Node, ir.Node] | None:
    """Return the Reshape in front of a Transpose and the one behind it, where nothing else reads what is between."""
    value, result = transpose.inputs[0], transpose.outputs[0]
    first = None if value is None else value.producer()
    readers = [use.node for use in result.uses()]
    if first is None or value is None or first.op_type != "Reshape" or len(readers) != 1:
        return None
    last = readers[0]
    inner = (value, result)
    if last.op_type != "Reshape" or last.inputs[0] is not result or last.outputs[0].is_graph_output():
        return None
    if len(list(value.uses())) != 1 or any(one.is_graph_output() for one in inner):
        return None
    return first, last


def regroup(sizes: Factors, shape: Factors) -> list[Factors] | None:
    """Return for every axis of `shape` the factors of `sizes` it is the product of, whole numbers split as needed.

    From the front and from the back, until an axis of unknown size, which takes what is left; None where the two
    can't be matched.
    """
    shape = tuple(size if isinstance(size, int) or size in sizes else None for size in shape)
    front, rest = _matched(list(sizes), list(shape))
    if len(front) == len(shape):
        return front if not rest else None
    back, rest = _matched(rest[::-1], list(shape[len(front) :])[::-1])
    open_axes = len(shape) - len(front) - len(back)
    if open_axes != 1:
        return None
    return [*front, tuple(rest[::-1]), *(axis[::-1] for axis in reversed(back))]


def _matched(sizes: list[Dimension], shape: list[Dimension]) -> tuple[list[Factors], list[Dimension]]:
    """Return the factors of the first axes of `shape`, as far as they are known, and the sizes that are left."""
    found: list[Factors] = []
    rest = list(sizes)
    for wanted in shape:
        if isinstance(wanted, str):
            if not rest or rest[0] != wanted:
                break
            found.append((rest.pop(0),))
            continue
        taken = None if wanted is None else _product(wanted, rest)
        if taken is None:
            break
        axis, rest = taken
        found.append(axis)
    return found, rest


def _product(wanted: int, sizes: list[Dimension]) -> tuple[Factors, list[Dimension]] | None:
    """Return the first sizes whose product is `wanted`, the last one split if it is too large, and what is left."""
    axis: list[Dimension] = []
    rest = list(sizes)
    while wanted > 1:
        size = rest[0] if rest else None
        if not isinstance(size, int) or size < 1:
            return None
        if wanted % size == 0:
            axis.append(size)
            wanted //= size
            rest.pop(0)
        elif size % wanted == 0:
            axis.append(wanted)
            rest[0] = size // wanted
            wanted = 1
        else:
            return None
    if not axis and rest and rest[0] == 1:
        axis.append(rest.pop(0))
    return tuple(axis), rest


def _target(before: Factors, factors: Factors) -> np.ndarray | None:
    """Return the target of a Reshape from `before` to `factors`: open sizes are copied, or one of them worked out."""
    target = [
        size if isinstance(size, int) else (0 if axis < len(before) and before[axis] == size else -1)
        for axis, size in enumerate(factors)
    ]
    return None if target.count(-1) > 1 else np.asarray(target, dtype=np.int64)
