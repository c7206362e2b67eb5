"""A histogram that widens as larger values arrive, so that one pass in fixed memory serves percentiles and errors."""

from __future__ import annotations

import numpy as np

_BINS = 8192
_CHUNK = 1 << 16


class StreamingHistogram:
    """Counts over [-limit, limit) in 8,192 equal bins; `limit` doubles as needed, bins then merge in pairs.

    Attributes:
        counts: (bins,) int64.
        limit: A power of two.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, dtype=np.int64)
        self.limit = 0.0

    def add(self, array: np.ndarray, largest: float) -> None:
        """Count the elements of `array`, none of which exceeds `largest` in magnitude."""
        if largest == 0.0:
            largest = float(np.finfo(np.float32).tiny)
        if self.limit == 0.0:
            self.limit = 2.0 ** (np.floor(np.log2(largest)) + 1)
        while largest >= self.limit:
            self._double()
        flat = array.reshape(-1)
        # In pieces that stay in the cache: the index arrays would otherwise be several times the batch.
        for start in range(0, flat.size, _CHUNK):
            part = np.multiply(flat[start : start + _CHUNK], _BINS / 2 / self.limit, dtype=np.float64)
            index = np.add(part, _BINS / 2, out=part).astype(np.int32)
            np.clip(index, 0, _BINS - 1, out=index)
            self.counts += np.bincount(index, minlength=_BINS)

    def centers(self) -> np.ndarray:
        """Return the middle of every bin, (bins,) float64."""
        return (np.arange(_BINS) + 0.5) * (2 * self.limit / _BINS) - self.limit

    @property
    def width(self) -> float:
        """Width of a bin."""
        return 2 * self.limit / _BINS

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(_BINS, dtype=np.int64)
        self.counts[_BINS // 4 : _BINS // 4 + _BINS // 2] = merged
        self.limit *= 2
