"""Rounds weights to integers, one symmetric scale per output channel.

Notation: weight w, integers q = clip(round(w / s), lowest, highest), scale s per channel.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from workbench.api import WeightQuantization

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

    At 8 bits the levels are -127 … 127; below that all 2^bits levels are used, because one level out of 16 or 4
    is worth more than symmetry.

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
    highest = 2 ** (bits - 1) - 1
    lowest = -highest if bits == 8 else -highest - 1
    # The largest magnitude may sit on the side that has one level more.
    span = np.maximum(rows.max(axis=1) / highest, rows.min(axis=1) / lowest)
    scales = np.maximum(span, 0.0)
    if rule == "mse":
        best = np.full(len(rows), np.inf)
        chosen = scales.copy()
        for share in _SHARES[::-1]:
            candidate = scales * share
            safe = np.where(candidate > 0, candidate, 1.0)[:, None]
            error = np.square(np.clip(np.rint(rows / safe), lowest, highest) * safe - rows).sum(axis=1)
            better = error < best
            best[better], chosen[better] = error[better], candidate[better]
        scales = chosen
    scales = np.maximum(scales, smallest_scale)
    scales = np.where(scales > np.finfo(np.float32).tiny, scales, 1.0).astype(np.float32)
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = -1
    spread = scales.reshape(shape)
    integers = np.clip(np.rint(weight / spread), lowest, highest).astype(np.int8)
    return WeightQuantization(integers, scales if axis is not None else scales.reshape(()), axis, bits)


def rows_of(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Return the weight as (channels, rest), float64."""
    array = np.asarray(weight, np.float64)
    return array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
