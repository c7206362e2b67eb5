"""Finds the parts of a graph that no name tells of: where the data flow parts and joins again, and runs of operators.

A section lies between two values that all data passes through, such as a residual block; a run is a chain that begins
with a layer, such as convolution, normalization and activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from workbench.graph.model import Node
from workbench.graph.scopes import Scope

_FEWEST_IN_SECTION = 3


def find_sections(nodes: Sequence[Node], layers: frozenset[str]) -> tuple[Scope, ...]:
    """Return for every node the names of its section and of its run, as far as it is in one.

    Args:
        nodes: The operators, in topological order.
        layers: Names of those with weights.
    """
    before, after = _neighbours(nodes)
    section = _sections(nodes, after, layers)
    run = list(range(len(nodes)))
    for index, node in enumerate(nodes):
        if len(before[index]) == 1 and node.name not in layers:
            (source,) = before[index]
            if len(after[source]) == 1 and section[source] == section[index]:
                run[index] = run[source]
    members: dict[int, list[int]] = {}
    for index, first in enumerate(run):
        members.setdefault(first, []).append(index)
    names = {first: _run_name([nodes[index] for index in part]) for first, part in members.items()}
    return tuple(
        (*((f"Section {section[index]}",) if section[index] else ()), names[run[index]]) for index in range(len(nodes))
    )


def title_of(name: str) -> str:
    """Return what of a section's or run's name need not be unique: "Conv + Relu" of "Conv + Relu at Conv_3"."""
    return name.split(" at ")[0]


def _run_name(nodes: Sequence[Node]) -> str:
    ops = " + ".join(node.op for node in nodes[:3])
    return f"{ops}{' …' if len(nodes) > 3 else ''} at {nodes[0].name}"


def _neighbours(nodes: Sequence[Node]) -> tuple[list[list[int]], list[list[int]]]:
    writer = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    before: list[list[int]] = []
    after: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        sources = list(dict.fromkeys(writer[name] for name in node.inputs if writer.get(name, index) < index))
        before.append(sources)
        for source in sources:
            after[source].append(index)
    return before, after


def _sections(nodes: Sequence[Node], after: Sequence[Sequence[int]], layers: frozenset[str]) -> list[int]:
    """Return every node's section, counted from 1; 0 for nodes between sections."""
    last_reader = [max(readers, default=-1) for readers in after]
    cuts = [-1]
    reach = -1
    for index in range(len(nodes)):
        # All that is still to be read was written here: nothing goes around this node.
        if reach <= index:
            cuts.append(index)
        reach = max(reach, last_reader[index])
    numbers = [0] * len(nodes)
    count = 0
    for start, end in pairwise(cuts):
        if end - start >= _FEWEST_IN_SECTION:
            count += 1
            numbers[start + 1 : end + 1] = [count] * (end - start)
        elif count and start >= 0 and numbers[start] and not any(n.name in layers for n in nodes[start + 1 : end + 1]):
            # The activation after a residual addition belongs to its block.
            numbers[start + 1 : end + 1] = [numbers[start]] * (end - start)
    return numbers
