"""Notes on layers how many bits their weights are worth, where what is stored does not say it."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.graph.model import ModelGraph
from workbench.graph.passes.insert_qdq import WEIGHT_BITS_KEY


def note_weight_bits(graph: ModelGraph, bits: Mapping[str, int]) -> ModelGraph:
    """Return the graph with a note on every named node; where fewer bits were noted before, these stay.

    Raises:
        KeyError: a name is not a node.
    """
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for name, worth in bits.items():
        before = nodes[name].metadata_props.get(WEIGHT_BITS_KEY)
        nodes[name].metadata_props[WEIGHT_BITS_KEY] = str(worth if before is None else min(worth, int(before)))
    return graph.edited(model)
