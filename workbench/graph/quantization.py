"""How a value or a weight becomes integers: plain values that calibration fills and the Q/DQ pass writes down.

Notation: a real x is stored as q = clip(round(x / s) + z, lowest, highest) and read back as s · (q - z), with scale
s > 0 and zero point z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ActivationQuantization:
    """How one value is quantized, per tensor.

    Attributes:
        scale: s, positive.
        zero_point: z, within the levels.
        bits: 2-8.
        signed: Stored as int8 instead of uint8; devices differ in which one is fast.
    """

    scale: float
    zero_point: int
    bits: int = 8
    signed: bool = False

    @property
    def lowest(self) -> int:
        """Smallest stored level."""
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """Largest stored level."""
        return self.lowest + (1 << self.bits) - 1

    @staticmethod
    def from_range(low: float, high: float, bits: int = 8, *, signed: bool = False) -> ActivationQuantization:
        """Return the affine quantizer of [low, high], widened to hold 0 exactly; of all zeros it has scale 1."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32((high - low) / (2**bits - 1)))
        if not scale > np.finfo(np.float32).tiny:
            scale = 1.0
        lowest = -(2 ** (bits - 1)) if signed else 0
        zero_point = round(lowest - low / scale)
        return ActivationQuantization(scale, min(max(zero_point, lowest), lowest + 2**bits - 1), bits, signed)


@dataclass(frozen=True, eq=False)
class WeightQuantization:
    """How one initializer is quantized, symmetrically.

    Attributes:
        integers: q, int8, of the weight's shape, within the levels of `bits`.
        scales: s, float32, (channels,) or ().
        axis: Axis that `scales` runs along; None for one scale.
        bits: 2-8.
    """

    integers: np.ndarray
    scales: np.ndarray
    axis: int | None
    bits: int = 8
