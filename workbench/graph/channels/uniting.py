"""Unites atoms that are one channel, and finds the node because of which too many of them are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.graph.channels.flow import Labels
from workbench.graph.model import Node

Pairs = Sequence[tuple[Labels, Labels, Node]]


def unite(atoms: int, pairs: Pairs) -> np.ndarray:
    """Return the class of every atom, (atoms,): atoms of a class are one channel."""
    if not atoms:
        return np.zeros(0, dtype=np.int64)
    if not pairs:
        return np.arange(atoms)
    first = np.concatenate([pair[0] for pair in pairs])
    second = np.concatenate([pair[1] for pair in pairs])
    links = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(atoms, atoms))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def tying_node(atoms: int, pairs: Pairs, labels: Labels) -> Node | None:
    """Return the node with which, in graph order, `labels` become one class; None if they never do."""
    low, high = 0, len(pairs)
    if len(np.unique(unite(atoms, pairs)[labels])) > 1:
        return None
    while low < high:
        middle = (low + high) // 2
        if len(np.unique(unite(atoms, pairs[:middle])[labels])) == 1:
            high = middle
        else:
            low = middle + 1
    return pairs[low - 1][2] if low else None
