"""Finds where a Reshape splits channels into attention heads, so that whole heads can be removed.

Heads are what a product of two computed matrices treats as independent: their axis is one of its leading ones. From
every Reshape that splits an axis, the new axes are followed through transpositions and position-wise operators until
such a product says which of them counts heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workbench.graph.channels.registry import spread_rule
from workbench.graph.channels.rules.elementwise import one_input, several_inputs
from workbench.graph.channels.rules.reshaping import runs
from workbench.graph.model import Dimension, ModelGraph, Node

Shapes = Mapping[str, tuple[Dimension, ...] | None]
_STEPS = 64
# Operators that work along `axis` and leave the other axes where they are.
_ALONG = frozenset({"Concat", "CumSum", "LayerNormalization", "LpNormalization", "Slice", "Softmax", "Split"})


def head_axes(graph: ModelGraph, shapes: Shapes) -> dict[str, int]:
    """Return by Reshape the new axis that counts heads."""
    products = [node for node in graph.nodes if _is_product(node, graph)]
    if not products:
        return {}
    found: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "Reshape" and not node.domain:
            for axis in _split_axes(node, shapes):
                if _counts_heads(node.outputs[0], axis, graph, shapes):
                    found[node.name] = axis
                    break
    return found


def _is_product(node: Node, graph: ModelGraph) -> bool:
    return (
        node.op in ("MatMul", "Einsum")
        and len(node.inputs) > 1
        and not any(graph.is_constant(name) for name in node.inputs)
    )


def _split_axes(node: Node, shapes: Shapes) -> Iterator[int]:
    """Yield the new axes of a Reshape that splits the last axes further, the outer ones first."""
    before, after = shapes.get(node.inputs[0]), shapes.get(node.outputs[0])
    if before is None or after is None:
        return
    old = {size for size in before if isinstance(size, int)}
    for axis, size in enumerate(after[:-1]):
        rest = after[axis + 1 :]
        if isinstance(size, int) and size > 1 and size not in old and any(isinstance(one, int) for one in rest):
            yield axis
    for axis, size in enumerate(after[:-1]):
        if isinstance(size, int) and size > 1 and size in old and len(after) > len(before):
            yield axis


def _counts_heads(value: str, axis: int, graph: ModelGraph, shapes: Shapes) -> bool:
    waiting, seen = [(value, axis)], {(value, axis)}
    while waiting and len(seen) < _STEPS:
        name, at = waiting.pop(0)
        for node in graph.consumers(name):
            if _is_product(node, graph):
                if _leads(node, node.inputs.index(name), at, shapes):
                    return True
                continue
            moved = _moved(node, name, at, graph, shapes)
            for output in node.outputs if moved is not None else ():
                if moved is not None and (output, moved) not in seen:
                    seen.add((output, moved))
                    waiting.append((output, moved))
    return False


def _leads(node: Node, index: int, axis: int, shapes: Shapes) -> bool:
    """Whether an axis of an operand is one that the product runs over independently."""
    if node.op == "MatMul":
        shape = shapes.get(node.inputs[index])
        return shape is not None and axis < len(shape) - 2
    terms, _, result = str(node.attribute("equation", "")).replace(" ", "").partition("->")
    letters = terms.split(",")
    if index >= len(letters) or axis >= len(letters[index]):
        return False
    letter = letters[index][axis]
    return letter in result and all(letter in term for term in letters)


def _moved(node: Node, name: str, axis: int, graph: ModelGraph, shapes: Shapes) -> int | None:
    """Return where an axis of an input is in the output, or None where it can't be followed."""
    if node.domain:
        return None
    if node.op == "Transpose":
        perm = node.attribute("perm") or tuple(range(len(shapes.get(name) or ())))[::-1]
        return perm.index(axis) if axis in perm else None
    inside, outside = shapes.get(name), shapes.get(node.outputs[0])
    if inside is None or outside is None:
        return None
    if node.op in _ALONG and len(inside) == len(outside):
        return axis if node.attribute("axis", -1) % len(inside) != axis else None
    if node.op == "Expand" or spread_rule(node) in (one_input, several_inputs):
        return axis + len(outside) - len(inside)
    if node.op == "Reshape" and node.inputs[0] == name:
        return next((new[0] for old, new in runs(inside, outside) if axis in old and len(new) == 1), None)
    if node.op in ("Gather", "Squeeze", "Unsqueeze"):
        return _between(node, axis, graph, shapes)
    return None


def _between(node: Node, axis: int, graph: ModelGraph, shapes: Shapes) -> int | None:
    inside, outside = shapes.get(node.inputs[0]), shapes.get(node.outputs[0])
    if inside is None or outside is None:
        return None
    if node.op == "Gather":
        picked = node.attribute("axis", 0) % len(inside)
        return None if picked == axis else axis + (len(outside) - len(inside) if axis > picked else 0)
    given = node.attribute("axes")
    if given is None and len(node.inputs) > 1:
        given = graph.constant(node.inputs[1])
    if given is None:
        return None
    if node.op == "Squeeze":
        gone = {int(one) % len(inside) for one in given}
        return None if axis in gone else axis - sum(one < axis for one in gone)
    new = {int(one) % len(outside) for one in given}
    rest = [at for at in range(len(outside)) if at not in new]
    return rest[axis]
