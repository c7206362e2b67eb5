"""How much memory a graph holds while it runs, by what it stores and what is still to be read: before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from workbench.graph.model import ModelGraph, reads
from workbench.graph.shapes import sample_shapes
from workbench.graph.statics import Statics

_WIDE = 4.0


def held_bytes(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> float:
    """Return the bytes of all weights, and the most that values of one sample take which others still read.

    What lies between quantizers counts as the integers that a runtime keeps there; values of unknown size count
    nothing.

    Args:
        graph: The model.
        dimensions: Sizes of open dimensions besides the batch.

    Raises:
        BadInputError: a key that is no dimension of the model.
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    shapes = sample_shapes(graph, dimensions)
    last: dict[str, int] = {}
    for place, node in enumerate(graph.nodes):
        last.update(dict.fromkeys(reads(node), place))
    last.update({info.name: len(graph.nodes) for info in graph.outputs})

    def size(name: str) -> float:
        shape = shapes.shapes.get(name)
        lengths = [length for length in shape or () if isinstance(length, int)]
        if graph.is_constant(name) or shape is None or len(lengths) < len(shape):
            return 0.0
        return float(prod(lengths)) * _element_bytes(graph, shapes, name)

    ending: dict[int, list[str]] = {}
    for name, place in last.items():
        ending.setdefault(place, []).append(name)
    held = most = sum(size(info.name) for info in graph.inputs)
    for place, node in enumerate(graph.nodes):
        held += sum(size(name) for name in node.outputs if name)
        most = max(most, held)
        held -= sum(size(name) for name in ending.get(place, ()))
        held -= sum(size(name) for name in node.outputs if name and name not in last)
    return graph.weight_bytes + most


def _element_bytes(graph: ModelGraph, shapes: Statics, name: str) -> float:
    """Return the bytes of an element; none of floats that only stand between integers."""
    producer = graph.producer(name)
    if producer is not None and producer.op == "DequantizeLinear":
        return 0.0
    readers = graph.consumers(name)
    if producer is not None and readers and all(reader.op == "QuantizeLinear" for reader in readers):
        return 0.0
    dtype = shapes.dtypes.get(name)
    return _WIDE if dtype is None else float(dtype.itemsize)
