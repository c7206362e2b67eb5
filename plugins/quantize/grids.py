"""Rounds weights to levels that are not evenly spaced, or so few that their scale has a closed form.

Every level is an integer that fits into int8, so that all grids run on the integer kernels: binary ±1 (XNOR-Net,
Rastegari et al., 2016) or odd sums of several such, ternary -1, 0, 1 (Li et al., 2016), powers of two 0, ±1, ±2, ±4 …,
and sums of powers of two (APoT, Li et al., 2020). Scales may be powers of two themselves, for devices that shift
instead of multiplying.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from workbench.api import WeightQuantization, highest_odd, odd_levels, odd_scales, weight_levels

from .weights import WeightRange, best_scales, quantize_weight, rows_of

Grid = Literal["uniform", "ternary", "power_of_two", "apot"]
_SHARES = np.linspace(0.3, 1.2, 91)
_LEAST_SCALE = 1e-30
# Magnitudes are sums of one number of each set, by bits. More bits would take more than int8.
_APOT_SETS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((0, 1),),
    3: ((0, 1, 2, 4),),
    4: ((0, 1, 4, 8), (0, 2)),
    5: ((0, 2, 8, 32), (0, 1, 4, 16)),
    6: ((0, 2, 16, 64), (0, 1, 8, 32), (0, 4)),
}
_MOST_POWERS = 4


@dataclass(frozen=True)
class Rounding:
    """How weights are rounded beyond their range.

    Attributes:
        grid: Spacing of the levels; 1 bit is binary and 8 bits are uniform whatever it says.
        power_of_two_scales: Whether scales are powers of two.
        branches: Bases of signs that weights of 1 bit are the sum of.
    """

    grid: Grid = "uniform"
    power_of_two_scales: bool = False
    branches: int = 1

    def refusal(self, bits: int) -> str | None:
        """Return why there is no grid of this kind with so many bits, or None."""
        if self.grid == "power_of_two" and _MOST_POWERS < bits < 8:
            return f"powers of two of {bits} bits do not fit into 8 bits; grid apot goes to 6 bits"
        if self.grid == "apot" and max(_APOT_SETS) < bits < 8:
            return f"sums of powers of two of {bits} bits do not fit into 8 bits"
        return None

    def quantized(
        self,
        weight: np.ndarray,
        axis: int | None,
        bits: int,
        rule: WeightRange,
        *,
        smallest_scale: np.ndarray | float = 0.0,
        affine: bool = False,
    ) -> WeightQuantization:
        """Return integers and scales; arguments as `quantize_weight`, and 1 bit.

        Only evenly spaced levels have zero points.
        """
        levels = self._levels(bits)
        if levels is None and affine and not self.power_of_two_scales:
            return quantize_weight(weight, axis, bits, rule, smallest_scale=smallest_scale, affine=True)
        if levels is None:
            found = quantize_weight(weight, axis, bits, rule, smallest_scale=smallest_scale)
            if not self.power_of_two_scales:
                return found
            lowest, highest = weight_levels(bits)
            levels = np.arange(lowest, highest + 1)
            scales = np.asarray(found.scales, np.float64).reshape(-1)
        rows = rows_of(weight, axis)
        if bits == 1:
            # Columns of nothing but zeros were padded: they read zeros, and must not make the scale smaller.
            read = rows[:, rows.any(axis=0)]
            scales = odd_scales(read if read.size else rows, self.branches)
        elif self.grid == "ternary" and bits == 2:
            scales = _ternary_scales(rows)
        elif self.grid != "uniform" and bits < 8:
            scales = _searched_scales(rows, levels, rule)
        scales = np.maximum(np.maximum(scales, smallest_scale), _LEAST_SCALE)
        if self.power_of_two_scales:
            scales = _powers_of_two(rows, levels, scales, rule, smallest_scale)
        scales = scales.astype(np.float32)
        # Binary weights have no zero: the sign of one is positive.
        units = rows / scales[:, None].astype(np.float64)
        near = odd_levels(units, self.branches) if bits == 1 else _nearest(units, levels)
        integers = _like(near.astype(np.int8), weight, axis)
        branches = self.branches if bits == 1 else 1
        return WeightQuantization(integers, scales if axis is not None else scales.reshape(()), axis, bits, branches)

    def _levels(self, bits: int) -> np.ndarray | None:
        """Return the integer levels in ascending order, or None for evenly spaced ones."""
        if bits == 1:
            highest = highest_odd(self.branches)
            return np.arange(-highest, highest + 1, 2)
        if bits >= 8 or self.grid == "uniform":
            return None
        if self.grid == "ternary":
            return np.array([-1, 0, 1]) if bits == 2 else None
        if self.grid == "power_of_two":
            positive = {0} | {2**power for power in range(2 ** (bits - 1) - 1)}
        else:
            positive = {sum(parts) for parts in product(*_APOT_SETS[bits])}
        return np.array(sorted(positive | {-level for level in positive}))


def _ternary_scales(rows: np.ndarray) -> np.ndarray:
    """Return the scales (rows,) of the least squared error with levels -s, 0, s.

    With the k largest magnitudes kept, the best scale is their mean m and the error falls by k m²; all k are looked at,
    where Li et al. (2016) take those above 0.7 of the mean magnitude.
    """
    sums = np.cumsum(-np.sort(-np.abs(rows), axis=1), axis=1)
    counts = np.arange(1, rows.shape[1] + 1)
    kept = np.argmax(np.square(sums) / counts, axis=1)
    return np.asarray(np.take_along_axis(sums, kept[:, None], axis=1)[:, 0] / counts[kept])


def _searched_scales(rows: np.ndarray, levels: np.ndarray, rule: WeightRange) -> np.ndarray:
    span = np.maximum(rows.max(axis=1) / levels[-1], rows.min(axis=1) / levels[0])
    if rule == "minmax":
        return np.asarray(span)
    return _best(rows, levels, [span * share for share in _SHARES[::-1]])


def _powers_of_two(
    rows: np.ndarray, levels: np.ndarray, scales: np.ndarray, rule: WeightRange, smallest: np.ndarray | float
) -> np.ndarray:
    power = np.log2(scales)
    above = np.exp2(np.ceil(power))
    if rule == "minmax":
        return np.asarray(above)
    below = np.exp2(np.floor(power))
    return _best(rows, levels, [above, np.where(below >= smallest, below, above)])


def _best(rows: np.ndarray, levels: np.ndarray, candidates: list[np.ndarray]) -> np.ndarray:
    return best_scales(rows, candidates, lambda values: _nearest(values, levels))


def _nearest(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the nearest level of every value."""
    middles = (levels[1:] + levels[:-1]) / 2
    return np.asarray(levels[np.searchsorted(middles, values)])


def _like(rows: np.ndarray, weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Return rows (channels, rest) in the order of the weight."""
    if axis is None:
        return rows.reshape(weight.shape)
    moved = np.moveaxis(weight, axis, 0).shape
    return np.ascontiguousarray(np.moveaxis(rows.reshape(moved), 0, axis))
