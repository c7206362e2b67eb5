"""Einsum: what one letter names is one and the same axis everywhere; letters that the result lacks are summed over."""

from __future__ import annotations

from workbench.graph.channels.flow import Axes, Flow, Labels
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads("Einsum")
def einsum(node: Node, flow: Flow) -> None:
    """Couple the axes of a letter; with one constant operand the node is a layer like MatMul."""
    inputs = [flow.axes(node, index) for index in range(len(node.inputs))]
    known = [axes for axes in inputs if axes is not None]
    terms = _terms(node)
    if terms is None or len(known) < len(inputs) or any(map(_differ, terms[0], known)):
        flow.give_up(node, "multiplies along axes that it does not name")
        return
    operands, result = terms
    found: dict[str, Labels | None] = {}
    for letters, axes in zip(operands, known, strict=True):
        for letter, labels in zip(letters, axes, strict=True):
            # A letter of size 1 is broadcast against the same letter of another operand.
            found[letter] = flow.unify(node, found[letter], labels) if letter in found else labels
    summed = set(found) - set(result)
    for index, (letters, axes) in enumerate(zip(operands, known, strict=True)):
        if any(labels is not None and letter in summed for letter, labels in zip(letters, axes, strict=True)):
            flow.contract(node, index)
    _layer(node, flow, operands, result, found)
    flow.give(node, [found[letter] for letter in result])


def _terms(node: Node) -> tuple[list[str], str] | None:
    """Return the letters of every operand and of the result; None for an ellipsis or a letter repeated in a term."""
    left, arrow, right = str(node.attribute("equation", "")).replace(" ", "").partition("->")
    operands = left.split(",")
    if "." in left + right or any(len(set(term)) < len(term) for term in (*operands, right)):
        return None
    if not arrow:
        right = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    return operands, right


def _differ(letters: str, axes: Axes) -> bool:
    return len(letters) != len(axes)


def _layer(node: Node, flow: Flow, operands: list[str], result: str, found: dict[str, Labels | None]) -> None:
    weights = [index for index in range(len(operands)) if flow.is_weight(node, index)]
    if len(operands) != 2 or len(weights) != 1:
        return
    (index,) = weights
    other = operands[1 - index]
    for axis, letter in enumerate(operands[index]):
        if letter in result and letter not in other:
            flow.layer(node, index, "out", axis, found[letter])
        elif letter not in result:
            flow.layer(node, index, "in", axis, found[letter])
