"""Turns what is known of each layer's channels into one score per unit of a group, the same way for every criterion.

Notation: a group has u units; a layer holds each of them at some positions of an axis with c channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from workbench.api import Member, ModelGraph

from .parameters import Normalisation, Reduction

Positions = tuple[tuple[int, ...], ...]


def per_unit(
    values: np.ndarray, positions: Sequence[Sequence[int] | np.ndarray], how: Literal["sum", "mean"] = "sum"
) -> np.ndarray:
    """Return values (…, c) added up or averaged over the positions of every unit, (…, u); 0 for a unit without any."""
    columns = np.fromiter((place for places in positions for place in places), np.int64)
    counts = np.asarray([len(places) for places in positions])
    total = np.zeros((len(positions), int(np.prod(values.shape[:-1], dtype=np.int64))))
    np.add.at(total, np.repeat(np.arange(len(positions)), counts), values[..., columns].reshape(-1, len(columns)).T)
    result = total.T.reshape(*values.shape[:-1], len(positions))
    return result / np.maximum(counts, 1) if how == "mean" else result


def present(positions: Positions) -> np.ndarray:
    """Return for every unit whether the axis holds it, (u,)."""
    return np.asarray([bool(places) for places in positions])


def rows(graph: ModelGraph, member: Member) -> np.ndarray | None:
    """Return the member's weight with one row per position along its axis, (c, k); None where it is computed."""
    weight = graph.constant(member.weight) if member.weight else None
    if weight is None:
        return None
    return np.moveaxis(weight, member.weight_axis, 0).reshape(weight.shape[member.weight_axis], -1).astype(np.float64)


def filters(graph: ModelGraph, member: Member) -> np.ndarray | None:
    """Return one row per unit with the weights of all its positions, (u, k); None where they are computed or uneven.

    A unit that the member does not hold has a row of NaN.
    """
    table = rows(graph, member)
    sizes = {len(places) for places in member.positions if places}
    if table is None or len(sizes) != 1:
        return None
    size = sizes.pop()
    found = np.full((len(member.positions), size * table.shape[1]), np.nan)
    for unit, places in enumerate(member.positions):
        if places:
            found[unit] = table[list(places)].reshape(-1)
    return found


def combined(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], units: int, reduction: Reduction, normalisation: Normalisation
) -> np.ndarray:
    """Return one score per unit from those of several layers.

    Args:
        layers: For every layer its scores (u,), and which units it holds (u,).
        units: Number of units.
        reduction: Over the layers that hold a unit.
        normalisation: Of each layer's scores before that; "auto" was decided by now.
    """
    if not layers:
        return np.zeros(units)
    table = np.stack([_normalised(scores, held, normalisation) for scores, held in layers])
    held = np.stack([mask for _, mask in layers])
    if reduction == "max":
        lowest = np.where(held, table, -np.inf).max(axis=0)
        return np.where(held.any(axis=0), lowest, 0.0)
    total = np.where(held, table, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(held.sum(axis=0), 1) if reduction == "mean" else total)


def _normalised(scores: np.ndarray, held: np.ndarray, how: Normalisation) -> np.ndarray:
    own = scores[held]
    if how == "none" or not len(own):
        return scores
    if how == "standard":
        return np.asarray((scores - own.mean()) / max(float(own.std()), 1e-30))
    size = float(np.abs(own).mean() if how == "mean" else np.abs(own).max())
    return scores / max(size, 1e-30)
