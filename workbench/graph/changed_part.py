"""Finds what of a changed graph must run again, so that a trial does not repeat what is as it was in the original.

A value of the changed graph is untouched if the original has one of the same name that is computed in the same way
from untouched values and equal constants; it then need not be computed again, but can be fed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.graph.model import ModelGraph, Node, Subgraph, reads
from workbench.graph.passes.cut_out import cut_out


@dataclass(frozen=True)
class ChangedPart:
    """The part of a changed graph that differs from the original, not yet cut out.

    Attributes:
        changed: The whole changed graph.
        fed: Inner values of the original that the part reads, or passes through, in graph order.
        runs: Whether an output depends on anything that changed; there is nothing to run otherwise.
    """

    changed: ModelGraph
    fed: tuple[str, ...]
    runs: bool

    def cut(self, like: Mapping[str, np.ndarray], free: Collection[str] = ()) -> ModelGraph:
        """Return the part as a graph; its inputs are `fed` and those of the model's inputs that it reads.

        Args:
            like: Arrays as they will be fed, by name, for inner values whose type the file does not state.
            free: Initializers that become inputs too.
        """
        outputs = [info.name for info in self.changed.outputs]
        inputs = {info.name for info in self.changed.inputs}
        passed = [name for name in outputs if name in inputs]
        return cut_out(self.changed, [*self.fed, *passed, *free], outputs, like=like)


def changed_part(original: ModelGraph, changed: ModelGraph) -> ChangedPart:
    """Return what of `changed` must run again when the inner values of `original` are known.

    Args:
        original: The graph whose values are known.
        changed: A graph with the same inputs and outputs, made from it.
    """
    untouched = {info.name for info in original.inputs} & {info.name for info in changed.inputs}
    differs: list[Node] = []
    equal: dict[str, bool] = {}
    for node in changed.nodes:
        if _same(node, original, changed, untouched, equal):
            untouched.update(name for name in node.outputs if name)
        else:
            differs.append(node)
    outputs = {info.name for info in changed.outputs}
    needed = {name for node in _behind(differs, outputs) for name in reads(node)} | outputs
    computed = [name for node in changed.nodes for name in node.outputs if name in untouched and name in needed]
    fed = tuple(name for name in computed if not changed.is_constant(name))
    return ChangedPart(changed, fed, runs=not outputs <= untouched)


def values_ahead(graph: ModelGraph, layers: Collection[str]) -> tuple[str, ...]:
    """Return the inner values that all which lies behind a layer reads besides itself, for every layer, in graph order.

    Args:
        graph: Whole.
        layers: Names of nodes.
    """
    read = [set(reads(node)) for node in graph.nodes]
    # What follows from constants alone is the same for all samples, and part of what is cut out.
    computed = {info.name for info in graph.inputs}
    for node, own in zip(graph.nodes, read, strict=True):
        if own & computed:
            computed.update(node.outputs)
    wanted: set[str] = set()
    for place, layer in enumerate(graph.nodes):
        if layer.name not in layers:
            continue
        behind = set(layer.outputs)
        wanted |= read[place]
        for node, own in zip(graph.nodes[place + 1 :], read[place + 1 :], strict=True):
            if own & behind:
                behind.update(node.outputs)
                wanted |= own - behind
    return tuple(name for node in graph.nodes for name in node.outputs if name in wanted and name in computed)


def _same(node: Node, original: ModelGraph, changed: ModelGraph, untouched: set[str], equal: dict[str, bool]) -> bool:
    other = original.producer(node.outputs[0]) if node.outputs else None
    if other is None or (node.op, node.domain, node.inputs, node.outputs) != (
        other.op,
        other.domain,
        other.inputs,
        other.outputs,
    ):
        return False
    for name in reads(node):
        if name not in untouched:
            if name not in equal:
                equal[name] = changed.same_constant(name, original)
            if not equal[name]:
                return False
    return _equal_attributes(node.attributes, other.attributes)


def _equal_arrays(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


def _equal_attributes(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(_equal_values(value, second[name]) for name, value in first.items())


def _equal_values(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and _equal_arrays(first, second)
    if isinstance(first, Subgraph) and isinstance(second, Subgraph):
        return _equal_bodies(first, second)
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_equal_values, first, second))
    return bool(first == second)


def _equal_bodies(first: Subgraph, second: Subgraph) -> bool:
    if (first.inputs, first.outputs, len(first.nodes)) != (second.inputs, second.outputs, len(second.nodes)):
        return False
    if first.initializers.keys() != second.initializers.keys():
        return False
    return all(_equal_arrays(array, second.initializers[name]) for name, array in first.initializers.items()) and all(
        (one.op, one.domain, one.inputs, one.outputs) == (two.op, two.domain, two.inputs, two.outputs)
        and _equal_attributes(one.attributes, two.attributes)
        for one, two in zip(first.nodes, second.nodes, strict=True)
    )


def _behind(differs: list[Node], outputs: set[str]) -> list[Node]:
    """Return those of the changed nodes that an output depends on."""
    wanted, found = set(outputs), []
    for node in reversed(differs):
        if wanted.intersection(node.outputs):
            found.append(node)
            wanted.update(reads(node))
    return found
