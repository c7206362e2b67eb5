"""Gives layers weights with zeros in them and notes it on their nodes, so that training keeps the zeros."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workbench.graph.model import ModelGraph
from workbench.graph.sparsity import SPARSITY_KEY, Sparsity
from workbench.graph.surgery import set_initializer


def store_sparse(graph: ModelGraph, arrays: Mapping[str, np.ndarray], notes: Mapping[str, Sparsity]) -> ModelGraph:
    """Return the graph with new values of initializers and notes on nodes.

    Args:
        graph: The model.
        arrays: By name of the initializer: sparse weights, and biases that make up for them.
        notes: By name of the node.

    Raises:
        KeyError: a name is not an initializer, or not a node.
    """
    model = graph.edit()
    for name, array in arrays.items():
        set_initializer(model.graph.initializers[name], array)
    nodes = {node.name or "": node for node in model.graph}
    for name, note in notes.items():
        nodes[name].metadata_props[SPARSITY_KEY] = note.text()
    return graph.edited(model)
