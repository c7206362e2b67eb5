"""Remembers what is worked out from a graph and nothing else: graphs never change, so it is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary, WeakSet

from workbench.graph.model import ModelGraph

_Result = TypeVar("_Result")


def once_per_graph(function: Callable[[ModelGraph], _Result]) -> Callable[[ModelGraph], _Result]:
    """Return the function with its results kept for as long as their graphs live.

    A result must not hold the graph that it is kept for, or neither would ever be given back; the graph itself is fine.
    """
    kept: WeakKeyDictionary[ModelGraph, _Result] = WeakKeyDictionary()
    same: WeakSet[ModelGraph] = WeakSet()

    @wraps(function)
    def remembered(graph: ModelGraph) -> _Result:
        if graph in same:
            return graph  # type: ignore[return-value]
        if graph not in kept:
            result = function(graph)
            if result is graph:
                same.add(graph)
                return result
            kept[graph] = result
        return kept[graph]

    return remembered
