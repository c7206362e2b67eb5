"""Rounds weights to integers, with one scale per output channel, about zero or about a zero point.

Notation: weight w, integers q = clip(round(w / s) + z, lowest, highest), scale s and zero point z per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from workbench.api import WeightQuantization, affine_levels, weight_levels

WeightRange = Literal["minmax", "mse"]
_SHARES = np.linspace(0.3, 1.0, 71)


def quantize_weight(
    weight: np.ndarray,
    axis: int | None,
    bits: int,
    rule: WeightRange,
    *,
    smallest_scale: np.ndarray | float = 0.0,
    affine: bool = False,
) -> WeightQuantization:
    """Quantize a weight to integers of `bits` bits.

    Args:
        weight: Float weight.
        axis: Axis of its output channels, or None for one scale.
        bits: 2-8.
        rule: "minmax" spans the largest magnitude, "mse" minimises the squared error per channel.
        smallest_scale: (channels,) or scalar lower bound, so that a bias in units of the scale fits 32 bits.
        affine: Take the range as it is, with a zero point, instead of the same range on both sides of zero.

    Returns:
        Integers and scales; a channel of zeros has scale 1.
    """
    rows = rows_of(weight, axis)
    if affine:
        return _affine(rows, weight, axis, bits, rule, smallest_scale)
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


def _affine(
    rows: np.ndarray, weight: np.ndarray, axis: int | None, bits: int, rule: WeightRange, smallest: np.ndarray | float
) -> WeightQuantization:
    lowest, highest = affine_levels(bits)
    low, high = np.minimum(rows.min(axis=1), 0.0), np.maximum(rows.max(axis=1), 0.0)
    tiny = np.finfo(np.float32).tiny

    def settings(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scales = np.maximum((high - low) / (highest - lowest), smallest)
        scales = np.where(scales > tiny, scales, 1.0).astype(np.float32)
        return scales, np.clip(np.rint(lowest - low / scales), lowest, highest)

    best: np.ndarray | None = None
    chosen = settings(low, high)
    if rule == "mse":
        farthest = np.maximum(high / highest, low / lowest)
        # A range about zero is among them, so that no channel is worse than without a zero point.
        ends = [(low * share, high * share) for share in _SHARES[::-1]]
        ends += [(farthest * share * lowest, farthest * share * highest) for share in _SHARES[::-1]]
        for scales, zeros in (settings(*each) for each in ends):
            steps, origins = scales[:, None].astype(np.float64), zeros[:, None]
            levels = np.clip(np.rint(rows / steps) + origins, lowest, highest)
            error = np.square((levels - origins) * steps - rows).sum(axis=1)
            better = np.full(len(rows), True) if best is None else error < best
            best = error if best is None else np.where(better, error, best)
            chosen = np.where(better, scales, chosen[0]), np.where(better, zeros, chosen[1])
    shape = (len(rows),) if axis is not None else ()
    scales, zeros = chosen[0].astype(np.float32).reshape(shape), chosen[1].astype(np.int8).reshape(shape)
    found = WeightQuantization(np.zeros(weight.shape, np.int8), scales, axis, bits, zero_points=zeros)
    return replace(found, integers=found.nearest(weight))


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
