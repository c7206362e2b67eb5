"""Rounds weights to integers, one symmetric scale per output channel.

Notation: weight w, integers q = clip(round(w / s), lowest, highest), scale s per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from workbench.api import WeightQuantization, weight_levels

WeightRange = Literal["minmax", "mse"]
_SHARES = np.linspace(0.3, 1.0, 71)


def quantize_weight(
    weight: np.ndarray,
    axis: int | None,
    bits: int,
    rule: WeightRange,
    *,
    smallest_scale: np.ndarray | float = 0.0,
) -> WeightQuantization:
    """Quantize a weight to integers of `bits` bits.

    Args:
        weight: Float weight.
        axis: Axis of its output channels, or None for one scale.
        bits: 2-8.
        rule: "minmax" spans the largest magnitude, "mse" minimises the squared error per channel.
        smallest_scale: (channels,) or scalar lower bound, so that a bias in units of the scale fits 32 bits.

    Returns:
        Integers and scales; a channel of zeros has scale 1.
    """
    rows = rows_of(weight, axis)
    lowest, highest = weight_levels(bits)
    # The largest magnitude may sit on the side that has one level more.
    span = np.maximum(rows.max(axis=1) / highest, rows.min(axis=1) / lowest)
    scales = np.maximum(span, 0.0)
    if rule == "mse":
        candidates = [scales * share for share in _SHARES[::-1]]
        scales = best_scales(rows, candidates, lambda values: np.clip(np.rint(values), lowest, highest))
    scales = np.maximum(scales, smallest_scale)
    scales = np.where(scales > np.finfo(np.float32).tiny, scales, 1.0).astype(np.float32)
    spread = scales.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
    integers = np.clip(np.rint(weight / spread), lowest, highest).astype(np.int8)
    return WeightQuantization(integers, scales if axis is not None else scales.reshape(()), axis, bits)


def best_scales(
    rows: np.ndarray, candidates: Sequence[np.ndarray], nearest: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return of several scales (rows,) the one of the least squared error, row by row; the first of equals.

    Args:
        rows: Weights (channels, rest).
        candidates: Scales of all channels.
        nearest: Returns the nearest level of every value in units of its scale.
    """
    best = np.full(len(rows), np.inf)
    chosen = candidates[0].copy()
    for candidate in candidates:
        safe = np.where(candidate > 0, candidate, 1.0)[:, None]
        error = np.square(nearest(rows / safe) * safe - rows).sum(axis=1)
        better = error < best
        best[better], chosen[better] = error[better], candidate[better]
    return chosen


def rows_of(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Return the weight as (channels, rest), float64."""
    array = np.asarray(weight, np.float64)
    return array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
