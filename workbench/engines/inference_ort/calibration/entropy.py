"""Range that keeps the shape of the distribution: clips where the clipped and rounded one tells least apart.

Migacz (2017), "8-bit inference with TensorRT", for ranges of two unequal ends. Notation: P, the counts of the bins
within a candidate range, with all that lies outside in its outermost bins; Q, the counts within without what lies
outside, evened out over the filled bins of each quantization level; the candidate with the least KL(P || Q) wins.
"""

from __future__ import annotations

import numpy as np

from workbench.engines.inference_ort.calibration._base import Calibrator, Range, with_zero
from workbench.engines.inference_ort.calibration.histogram import StreamingHistogram
from workbench.graph.quantization import ActivationQuantization

_CANDIDATES = 96
# Stands for an empty bin of Q where P has mass, as a share of the whole.
_NEXT_TO_NOTHING = 1e-12


class Entropy(Calibrator):
    """Least Kullback-Leibler divergence between what was seen and what 2^bits levels over the range make of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._histogram = StreamingHistogram()

    def accumulate(self, array: np.ndarray) -> None:
        """Count the batch."""
        self._histogram.add(array, max(-self.low, self.high, 0.0))

    def range(self, bits: int) -> Range:
        """Return the range with the least divergence for `bits`."""
        low, high = with_zero(*self.observed)
        if low == high:
            return low, high
        counts = self._histogram.counts.astype(np.float64)
        middle = len(counts) // 2
        # Exact zeros, most of what a rectifier lets through, keep their value in any range and decide nothing.
        counts[middle] = min(counts[middle], max(counts[middle - 1], counts[middle + 1]))
        if not counts.any():
            return low, high
        centers, width = self._histogram.centers(), self._histogram.width
        largest = max(-low, high)
        # With fewer bins than levels nothing would be rounded, and nothing compared.
        least = width * 2**bits / (2 if low < 0.0 < high else 1)
        best, chosen = np.inf, (low, high)
        # Ties go to the widest range, which stands first.
        for limit in np.linspace(largest, min(least, largest), _CANDIDATES):
            candidate = max(low, -float(limit)), min(high, float(limit))
            divergence = _divergence(counts, centers, candidate, bits)
            if divergence < best * (1 - 1e-9):
                best, chosen = divergence, candidate
        return chosen


def _divergence(counts: np.ndarray, centers: np.ndarray, candidate: Range, bits: int) -> float:
    first = int(np.searchsorted(centers, candidate[0]))
    last = int(np.searchsorted(centers, candidate[1]))
    inside = counts[first:last]
    if not inside.any():
        return np.inf
    clipped = inside.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    quantization = ActivationQuantization.from_range(*candidate, bits)
    levels = np.rint(centers[first:last] / quantization.scale) + quantization.zero_point
    levels = np.clip(levels, quantization.lowest, quantization.highest).astype(np.int64) - quantization.lowest
    filled = inside > 0
    mass = np.bincount(levels, weights=inside)
    members = np.bincount(levels, weights=filled)
    even = np.where(filled, mass[levels] / np.maximum(members[levels], 1), 0.0)
    seen = clipped > 0
    wanted = clipped[seen] / clipped.sum()
    given = np.maximum(even[seen] / even.sum(), _NEXT_TO_NOTHING)
    return float(np.sum(wanted * np.log(wanted / given)))
