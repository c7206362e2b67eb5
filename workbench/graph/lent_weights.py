"""Reads from a graph in which all layers were compressed the weights that a single layer of the original would have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.kept import kept
from workbench.graph.model import ModelGraph, Node
from workbench.graph.weights import weight_of, weight_values


def lent_weights(original: ModelGraph, compressed: ModelGraph, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the initializers of `original` with other values, so that `layers` compute as in `compressed`.

    Rounded weights are lent as they are read; of removed channels, weights and biases are zero.

    Args:
        original: A graph without batch norm behind its layers.
        compressed: Made from it.
        layers: Names.

    Raises:
        UnsupportedGraphError: a layer is no longer there, or its weight is not stored as the layer reads it.
    """
    there = {node.name: node for node in compressed.nodes}
    found: dict[str, np.ndarray] = {}
    for name in layers:
        node = original.node(name)
        own = weight_of(original, node)
        if own is None or own.through or own.name not in original.initializers:
            raise UnsupportedGraphError("its weight is not stored as the layer reads it", where=name)
        array = np.asarray(original.constant(own.name))
        if name not in there:
            raise UnsupportedGraphError("the layer is replaced by others", where=name)
        note = kept(there[name].metadata)
        if note is not None:
            found.update(_masked(original, node, own.name, array, note.positions))
            continue
        other = weight_of(compressed, there[name])
        values = None if other is None else weight_values(compressed, other)
        if (
            values is None
            or values.ndim != array.ndim
            or any(size < wanted for size, wanted in zip(values.shape, array.shape, strict=True))
        ):
            raise UnsupportedGraphError("its weight has another shape", where=name)
        # Kernels may want more channels than there are; what was filled up is zero.
        found[own.name] = values[tuple(slice(size) for size in array.shape)].astype(array.dtype)
    return found


def _masked(graph: ModelGraph, node: Node, weight: str, array: np.ndarray, stays: np.ndarray) -> dict[str, np.ndarray]:
    if node.op == "Conv":
        axis = 0
    elif node.op == "Gemm":
        axis = 0 if node.attribute("transB", 0) else 1
    elif node.op == "MatMul":
        axis = array.ndim - 1
    else:
        raise UnsupportedGraphError(f"channels of {node.op} can't be left out by its weights", where=node.name)
    masked = {weight: _zeroed(array, axis, stays)}
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if bias:
        values = graph.constant(bias)
        if values is None or bias not in graph.initializers or values.ndim != 1:
            raise UnsupportedGraphError("its bias is not stored as the layer reads it", where=node.name)
        masked[bias] = _zeroed(values, 0, stays)
    return masked


def _zeroed(array: np.ndarray, axis: int, stays: np.ndarray) -> np.ndarray:
    found = np.zeros_like(array)
    chosen = tuple(stays if index == axis else slice(None) for index in range(array.ndim))
    found[chosen] = array[chosen]
    return found
