"""Says what a pruning did in figures that the window can draw: ratios, counts, and importance with its cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.api import ModelGraph

from .parameters import PruningParameters
from .selection import GroupRatio

_BINS = 20
_SETTLED = {"scope": "layer", "target": "none"}


def taken_over(parameters: PruningParameters) -> dict[str, Any]:
    """Return what becomes of the parameters of whoever takes the resulting plan over.

    `settled` are those that the plan answers, `presumed` those that its ratios were found with.
    """
    presumed = {"channel_multiple": parameters.channel_multiple} if parameters.channel_multiple > 1 else {}
    return {"settled": _SETTLED, "presumed": presumed}


def group_details(
    ratios: Sequence[GroupRatio], removal: Mapping[str, tuple[int, ...]], scores: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return by group its ratio, channels, units, removed units and the histogram of its importance."""
    return {
        entry.group.id: {
            "ratio": entry.ratio,
            "channels": entry.group.channels,
            "units": entry.group.units,
            "removed_units": len(removal.get(entry.group.id, ())),
            "importance": histogram(scores[entry.group.id], removal.get(entry.group.id, ())),
        }
        for entry in ratios
    }


def histogram(scores: np.ndarray, removed: Sequence[int]) -> dict[str, Any]:
    """Return edges (bins + 1), how many units of each bin stay and go, and the highest score that went (or None)."""
    gone = np.zeros(len(scores), dtype=bool)
    gone[list(removed)] = True
    edges = np.histogram_bin_edges(scores, bins=_BINS)
    return {
        "edges": [float(f"{edge:.6g}") for edge in edges],
        "kept": np.histogram(scores[~gone], edges)[0].tolist(),
        "removed": np.histogram(scores[gone], edges)[0].tolist(),
        "cut": float(scores[gone].max()) if gone.any() else None,
    }


def parameter_count(graph: ModelGraph) -> int:
    """Return how many numbers all initializers hold together."""
    return sum(int(np.prod(graph.constant_shape(name) or (1,), dtype=np.int64)) for name in graph.initializers)
