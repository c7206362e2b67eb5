"""Takes whole branches out of a network: what read their end reads what went in, or came along the shortcut."""

from __future__ import annotations

from collections.abc import Collection

from workbench.graph.branches import find_branches
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import remove_unused


def remove_branches(graph: ModelGraph, ids: Collection[str]) -> ModelGraph:
    """Return the graph without the branches of the given ids (see `workbench.graph.branches`).

    Names of all other nodes and values stay.

    Raises:
        KeyError: an id is not one of this graph's branches.
        ModelFileError: the result is not a valid graph (a fault of the search for branches).
    """
    branches = {branch.id: branch for branch in find_branches(graph)}
    chosen = [branches[name] for name in ids]
    if not chosen:
        return graph
    model = graph.edit()
    values = {value.name or "": value for value in model.graph.inputs}
    values.update({value.name or "": value for node in model.graph for value in node.outputs})
    gone = {branch.output: branch.replacement for branch in chosen}
    for branch in chosen:
        replacement = branch.replacement
        # The value to read instead may be the end of another branch that goes.
        while replacement in gone:
            replacement = gone[replacement]
        values[branch.output].replace_all_uses_with(values[replacement])
    remove_unused(model)
    smaller = graph.edited(model)
    check(smaller)
    return smaller
