"""Counts work in bits, because half the bits are half the work on hardware that is built for them."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.graph.diff import layer_states
from workbench.graph.layers import find_layers
from workbench.graph.model import ModelGraph


def bit_operations(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> float:
    """Return the sum over layers of MACs times weight bits times activation bits (BitOPs), for one sample."""
    states = layer_states(graph)
    return sum(
        layer.macs * states[layer.name].bits * states[layer.name].activation_bits
        for layer in find_layers(graph, dimensions)
        if layer.name in states
    )
