"""Finds scales and zero points of blocks of weights, for matrix products that read their weight packed.

Notation: weight w (out, in), a block of consecutive inputs of one output shares s and z; w is stored as a code
q = clip(round(w / s) + z, lowest, highest) and read back as (q - z) · s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.api import BlockQuantization, container_bits

from .second_order import Levels
from .weights import WeightRange

_SHARES = np.linspace(0.5, 1.0, 26)


@dataclass(frozen=True, eq=False)
class BlockGrid:
    """Scales and zero points (out, blocks) of a weight, and the codes that are used.

    Attributes:
        scales, zeros: s and z.
        bits: Levels are 2^bits.
        block: Inputs that share a scale.
        lowest, highest: Codes in use.
    """

    scales: np.ndarray
    zeros: np.ndarray
    bits: int
    block: int
    lowest: int
    highest: int

    def levels(self, width: int) -> Levels:
        """Return the levels of every weight (out, width)."""
        scales, zeros = (np.repeat(each, self.block, axis=1)[:, :width] for each in (self.scales, self.zeros))
        return Levels(scales, zeros, self.lowest, self.highest)

    def quantized(self, codes: np.ndarray) -> BlockQuantization:
        """Return codes (out, in) with their scales as they are stored."""
        return BlockQuantization(
            codes.astype(np.uint8),
            self.scales.astype(np.float32),
            self.zeros.astype(np.uint8),
            self.bits,
            self.block,
        )


def block_grid(
    weight: np.ndarray,
    bits: int,
    block: int,
    *,
    symmetric: bool,
    rule: WeightRange,
    importance: np.ndarray | None = None,
) -> BlockGrid:
    """Return the grid of a weight (out, in).

    Args:
        weight: In float.
        bits: 2-8.
        block: Inputs that share a scale.
        symmetric: One zero point for all, in the middle of the codes; else one a block.
        rule: "minmax" spans all weights of a block, "mse" minimises the squared error.
        importance: What the squared error of each input's weights counts, (in,); all count alike if None.
    """
    outputs, width = weight.shape
    blocks = -(-width // block)
    counts = np.ones(width) if importance is None else importance
    counts = np.pad(counts, (0, blocks * block - width)).reshape(blocks, block)
    # What pads the last block must not widen its range, nor count as an error: zero is always a level.
    parts = np.pad(weight.astype(np.float64), ((0, 0), (0, blocks * block - width))).reshape(outputs, blocks, block)
    middle = 2 ** (container_bits(bits) - 1) if symmetric else 0
    lowest = middle - 2 ** (bits - 1) if symmetric else 0
    highest = lowest + 2**bits - 1
    low, high = np.minimum(parts.min(axis=2), 0.0), np.maximum(parts.max(axis=2), 0.0)
    chosen = _scales(low, high, middle, lowest, highest, symmetric)
    if rule == "mse":
        best = np.full(low.shape, np.inf)
        for share in _SHARES[::-1]:
            candidate = _scales(low * share, high * share, middle, lowest, highest, symmetric)
            error = _errors(parts, *candidate, lowest, highest, counts)
            better = error < best
            best = np.where(better, error, best)
            chosen = np.where(better, candidate[0], chosen[0]), np.where(better, candidate[1], chosen[1])
    scales, zeros = chosen
    # As the file holds them, so that what is rounded later is rounded to the levels that are deployed.
    return BlockGrid(scales.astype(np.float32).astype(np.float64), zeros, bits, block, lowest, highest)


def _scales(
    low: np.ndarray, high: np.ndarray, middle: int, lowest: int, highest: int, symmetric: bool
) -> tuple[np.ndarray, np.ndarray]:
    if symmetric:
        span = np.maximum(high / (highest - middle), low / (lowest - middle))
    else:
        span = (high - low) / (highest - lowest)
    scales = np.where(span > np.finfo(np.float32).tiny, span, 1.0)
    if symmetric:
        return scales, np.full(scales.shape, float(middle))
    return scales, np.clip(np.rint(-low / scales), lowest, highest)


def _errors(
    parts: np.ndarray, scales: np.ndarray, zeros: np.ndarray, lowest: int, highest: int, counts: np.ndarray
) -> np.ndarray:
    spread, origin = scales[:, :, None], zeros[:, :, None]
    codes = np.clip(np.rint(parts / spread) + origin, lowest, highest)
    return np.asarray(np.einsum("obi,bi->ob", np.square((codes - origin) * spread - parts), counts))
