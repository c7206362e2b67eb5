"""Lets the layers behind removed channels make up for them by least squares, without training (He et al., 2017).

Notation: W (o, p) the weight, S (p, p) the covariance of what it reads, K the columns that stay. The new weight
minimises |W x - W' x_K|² + r |W' - W_K|² over the samples; r keeps it near the old one where samples say little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, RowMoments

from .moments import Reader, group_readers

RIDGE = 1e-3
RECONSTRUCTION_SAMPLES = 512


def reconstructed(
    observed: ModelGraph,
    graph: ModelGraph,
    groups: Sequence[ChannelGroup],
    removal: Mapping[str, tuple[int, ...]],
    moments: Mapping[str, RowMoments],
) -> tuple[ModelGraph, int]:
    """Return the graph with new weights in all readers of removed channels, and the number of these readers.

    Columns that are about to be removed are zero. Where a bias or the mean of a batch norm can take it up, the mean of
    what goes is made up for too.

    Args:
        observed: The graph that groups and moments belong to.
        graph: The same function with the same layer and weight names, to be changed.
        groups: That may lose units.
        removal: Units by group id.
        moments: By reader's layer name.
    """
    gone: dict[str, tuple[Reader, set[int]]] = {}
    for group in groups:
        units = removal.get(group.id, ())
        for reader, positions in group_readers(observed, group) if units else ():
            columns = reader.columns(positions)
            _, taken = gone.setdefault(reader.node.name, (reader, set()))
            taken.update(int(column) for unit in units for column in columns[unit])
    arrays: dict[str, np.ndarray] = {}
    for layer, (reader, taken) in gone.items():
        if layer in moments and taken:
            arrays.update(_solved(graph, reader, sorted(taken), moments[layer]))
    return (graph.with_initializers(arrays) if arrays else graph), sum(layer in moments for layer in gone)


def _solved(graph: ModelGraph, reader: Reader, taken: list[int], moments: RowMoments) -> dict[str, np.ndarray]:
    old = reader.matrix(graph)
    shift = shift_of(graph, reader)
    covariance = moments.second() if shift is None else moments.covariance()
    kept = np.setdiff1d(np.arange(old.shape[1]), taken)
    ridge = RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    inner = covariance[np.ix_(kept, kept)] + ridge * np.eye(len(kept))
    new = np.zeros_like(old)
    new[:, kept] = np.linalg.solve(inner, (old @ covariance[:, kept] + ridge * old[:, kept]).T).T
    found = {reader.weight: reader.stored(graph, new)}
    if shift is not None:
        name, sign = shift
        vector = graph.constant(name)
        assert vector is not None
        found[name] = (vector + sign * ((old - new) @ moments.mean())).astype(vector.dtype)
    return found


def shift_of(graph: ModelGraph, reader: Reader) -> tuple[str, int] | None:
    """Return the vector that can take up a change of the layer's mean output and its sign, or None.

    That is the layer's own bias (+1), or the mean of the batch norm behind it (-1).
    """
    node = graph.node(reader.node.name)
    outputs = len(reader.matrix(graph))
    name, sign = (node.inputs[2], 1) if len(node.inputs) > 2 and node.inputs[2] else ("", 1)
    readers = graph.consumers(node.outputs[0])
    if not name and len(readers) == 1 and readers[0].op == "BatchNormalization":
        name, sign = readers[0].inputs[3], -1
    known = name in graph.initializers and len(graph.consumers(name)) == 1
    return (name, sign) if known and graph.constant_shape(name) == (outputs,) else None
