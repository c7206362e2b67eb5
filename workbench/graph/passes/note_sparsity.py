"""Notes on layers how their weights were made sparse, so that training keeps the zeros."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.graph.model import ModelGraph
from workbench.graph.sparsity import SPARSITY_KEY, Sparsity


def note_sparsity(graph: ModelGraph, notes: Mapping[str, Sparsity]) -> ModelGraph:
    """Return the graph with a note on every named node.

    Raises:
        KeyError: a name is not a node.
    """
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for name, note in notes.items():
        nodes[name].metadata_props[SPARSITY_KEY] = note.text()
    return graph.edited(model)
