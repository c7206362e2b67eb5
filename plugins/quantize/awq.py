"""Scales the inputs of matrix products so that the weights that matter most lose least by rounding.

AWQ (Lin et al., 2024): weights of inputs with large activations are multiplied by f before they are rounded, and the
inputs divided by it where they are made, so that the function stays. f = r^a / mean, r the root mean square of each
input, and a between 0 and 1 is searched for every value by the error in the outputs of all layers that read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.api import ModelGraph, Tools

from .inputs import Read, output_error
from .scaling import Site, find_sites, scale, weights_of, with_weights

_STEPS = 20
_TINY = 1e-8


@dataclass(frozen=True, eq=False)
class Scaled:
    """The graph after scaling, the factor (in,) of what each weight reads, and what to say."""

    graph: ModelGraph
    factors: Mapping[str, np.ndarray]
    notes: tuple[str, ...]


def scaled_inputs(
    graph: ModelGraph,
    weights: Mapping[str, Read],
    seconds: Mapping[str, np.ndarray],
    rounded: Callable[[str, np.ndarray], np.ndarray],
    tools: Tools,
) -> Scaled:
    """Return the graph with its values' channels scaled as far as the layers that read them gain by it.

    Args:
        graph: In float, with constants folded.
        weights: Weights of matrix products that are quantized, by name.
        seconds: Second moments (in, in) of what reads each.
        rounded: What a weight (out, in) of that name is after rounding.
        tools: Of the run.

    Raises:
        CancelledError: tools.cancel was set.
    """
    readers = {node.name: each for each in weights.values() for node in each.nodes}
    sites = [site for site in find_sites(graph).found if _all_rounded(site, readers)]
    arrays = weights_of(graph, sites)
    factors: dict[str, np.ndarray] = {}
    gained = 0
    for site in sites:
        tools.cancel.raise_if_cancelled()
        own = [readers[name] for name in site.readers]
        factor = _best_factor(own, arrays, seconds, rounded)
        if factor is None:
            continue
        gained += 1
        scale(arrays, site, factor)
        factors.update({each.weight: factor for each in own})
    reach = {name for site in sites for name in site.readers}
    notes = [f"inputs of {len(factors)} weights scaled at {gained} of {len(sites)} values (AWQ)"]
    if len(reach) < len(readers):
        notes.append(f"{len(readers) - len(reach)} layers read what can't be scaled where it is made, and stay as is")
    return Scaled(with_weights(graph, arrays) if factors else graph, factors, tuple(notes))


def _all_rounded(site: Site, readers: Mapping[str, Read]) -> bool:
    found = [readers.get(name) for name in site.readers]
    return all(each is not None and each.layout.columns == site.channels and len(each.nodes) == 1 for each in found)


def _best_factor(
    own: list[Read],
    arrays: Mapping[str, np.ndarray],
    seconds: Mapping[str, np.ndarray],
    rounded: Callable[[str, np.ndarray], np.ndarray],
) -> np.ndarray | None:
    """Return the factor (in,) with the least error in the outputs, or None where none beats leaving it."""
    second = seconds[own[0].weight]
    size = np.sqrt(np.maximum(np.diag(second), 0.0))
    if not size.max() > _TINY:
        return None
    size = np.maximum(size, _TINY * size.max())
    matrices = {each.weight: each.layout.matrices(arrays[each.weight])[0] for each in own}
    best, chosen = np.inf, None
    for step in range(_STEPS):
        factor = size ** (step / _STEPS)
        factor = np.clip(factor / np.sqrt(factor.max() * factor.min()), 1e-4, 1e4)
        error = sum(
            output_error(rounded(name, matrix * factor) / factor - matrix, second) for name, matrix in matrices.items()
        )
        if error < best:
            best, chosen = error, None if step == 0 else factor
    return chosen
