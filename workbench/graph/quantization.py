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
        bits: 1-8.
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
    def from_range(
        low: float, high: float, bits: int = 8, *, signed: bool = False, power_of_two: bool = False
    ) -> ActivationQuantization:
        """Return the affine quantizer of [low, high], widened to hold 0 exactly; of all zeros it has scale 1.

        With `power_of_two` the scale is the next power of two that holds the range.
        """
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32((high - low) / (2**bits - 1)))
        if not scale > np.finfo(np.float32).tiny:
            scale = 1.0
        if power_of_two:
            scale = float(np.exp2(np.ceil(np.log2(scale))))
        lowest = -(2 ** (bits - 1)) if signed else 0
        zero_point = round(lowest - low / scale)
        return ActivationQuantization(scale, min(max(zero_point, lowest), lowest + 2**bits - 1), bits, signed)


@dataclass(frozen=True, eq=False)
class WeightQuantization:
    """How one initializer is quantized.

    Attributes:
        integers: q, int8, of the weight's shape; at most 2^stored_bits different ones.
        scales: s, float32, (channels,) or ().
        axis: Axis that `scales` runs along; None for one scale.
        bits: 1-8.
        branches: Of 1 bit, how many bases of signs the integers are the sum of (`workbench.graph.binary`).
        zero_points: z, int8, of the scales' shape, within the levels; None where all are 0 and levels are symmetric.
    """

    integers: np.ndarray
    scales: np.ndarray
    axis: int | None
    bits: int = 8
    branches: int = 1
    zero_points: np.ndarray | None = None

    @property
    def stored_bits(self) -> int:
        """Bits that one weight is worth: those of all branches."""
        return self.bits * self.branches

    @property
    def levels(self) -> tuple[int, int]:
        """Lowest and highest level."""
        if self.bits == 1:
            return 1 - 2**self.branches, 2**self.branches - 1
        return weight_levels(self.bits) if self.zero_points is None else affine_levels(self.bits)

    @property
    def reach(self) -> np.ndarray:
        """How far the levels reach, in units of the scale and of the scales' shape; of symmetric ones, upwards."""
        lowest, highest = self.levels
        if self.zero_points is None:
            return np.full(self.scales.shape, float(highest))
        zeros = self.zero_points.astype(np.float64)
        return np.asarray(np.maximum(highest - zeros, zeros - lowest))

    def spread(self, values: np.ndarray | None = None) -> np.ndarray:
        """Return one number a channel (the scales if None) in a shape that broadcasts to the weight."""
        return along(self.scales if values is None else values, self.axis, self.integers.ndim)

    def values(self) -> np.ndarray:
        """Return the weight that the integers stand for, float32."""
        levels = self.integers.astype(np.float32) - self.zeros()
        return np.asarray(levels * self.spread().astype(np.float32))

    def zeros(self) -> np.ndarray:
        """Return z, float32, in a shape that broadcasts to the weight."""
        zeros = np.zeros(self.scales.shape) if self.zero_points is None else self.zero_points
        return self.spread(zeros.astype(np.float32))

    def nearest(self, weight: np.ndarray, scales: np.ndarray | None = None) -> np.ndarray:
        """Return q, int8, of a weight of that shape, on these scales or on others."""
        levels = np.rint(weight / self.spread(scales)) + self.zeros()
        return np.asarray(np.clip(levels, *self.levels), np.int8)


def along(values: np.ndarray, axis: int | None, rank: int) -> np.ndarray:
    """Return one number a channel, or one number in all, in a shape that broadcasts to an array of so many axes."""
    return values.reshape([-1 if place == axis else 1 for place in range(rank)])


def weight_levels(bits: int) -> tuple[int, int]:
    """Return the lowest and highest of a weight's evenly spaced levels.

    8 bits are symmetric; below, all 2^bits levels are used, because one level out of 16 or 4 is worth more. Of 1 bit
    there are -1 and 1.
    """
    if bits == 1:
        return -1, 1
    highest = 2 ** (bits - 1) - 1
    return (-highest if bits == 8 else -highest - 1), highest


def affine_levels(bits: int) -> tuple[int, int]:
    """Return the lowest and highest level of a weight with a zero point: all 2^bits of them."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


@dataclass(frozen=True, eq=False)
class BlockQuantization:
    """How the weight of a matrix product is quantized in blocks along what one output sums over.

    Attributes:
        codes: (out, in) uint8; a weight is (code - zero point) · scale.
        scales: (out, blocks) float32, one for `block` consecutive inputs; the last block may hold fewer.
        zero_points: (out, blocks) uint8.
        bits: 2-8, levels that are used.
        block: Inputs that share a scale.
    """

    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray
    bits: int
    block: int

    @property
    def container(self) -> int:
        """Bits that a code takes in the file: 2, 4 or 8."""
        return container_bits(self.bits)

    @property
    def symmetric(self) -> bool:
        """Whether every zero point is the one that needs not be stored."""
        return bool((self.zero_points == 2 ** (self.container - 1)).all())

    def values(self) -> np.ndarray:
        """Return the weight (out, in) as float32."""
        return block_values(self.codes, self.scales, self.zero_points, self.block)


def container_bits(bits: int) -> int:
    """Return the bits, of 2, 4 and 8, that a code of `bits` bits is stored in."""
    return next(size for size in (2, 4, 8) if size >= bits)


def block_values(codes: np.ndarray, scales: np.ndarray, zero_points: np.ndarray, block: int) -> np.ndarray:
    """Return (code - zero point) · scale, (out, in) float32, of codes (out, in) and one scale (out, blocks) a block."""
    width = codes.shape[1]
    spread = [np.repeat(each.astype(np.float32), block, axis=1)[:, :width] for each in (zero_points, scales)]
    return np.asarray((codes.astype(np.float32) - spread[0]) * spread[1])
