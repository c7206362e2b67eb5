"""Range with the least mean squared quantization error: clips outliers as far as finer steps repay it.

The search follows Sung, Shin & Hwang (2015) and Nagel et al. (2021, section 3.1): shrink both ends together, then
each end by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.engines.inference_ort.calibration._base import Calibrator, Range, with_zero
from workbench.engines.inference_ort.calibration.histogram import StreamingHistogram
from workbench.graph.quantization import ActivationQuantization

_COARSE = np.linspace(0.02, 1.0, 50)
_FINE = np.linspace(0.8, 1.2, 21)


class LeastSquares(Calibrator):
    """Least squared error of affine quantization with 2^bits levels, over the histogram of the value."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._histogram = StreamingHistogram()

    def accumulate(self, array: np.ndarray) -> None:
        """Count the batch."""
        self._histogram.add(array, max(-self.low, self.high, 0.0))

    def range(self, bits: int) -> Range:
        """Return the range with the least error for `bits`."""
        low, high = with_zero(*self.observed)
        if low == high:
            return low, high
        spread = self._spread()

        def best(candidates: list[Range]) -> Range:
            errors = [_error(spread, candidate, bits) for candidate in candidates]
            return candidates[int(np.argmin(errors))]

        # Ties go to the widest range, which stands last and first respectively.
        low, high = best([(low * share, high * share) for share in _COARSE[::-1]])
        floor, ceiling = self.observed
        for _ in range(2):
            low, high = best([(low, high), *((low, min(high * share, max(ceiling, 0.0))) for share in _FINE)])
            low, high = best([(low, high), *((max(low * share, min(floor, 0.0)), high) for share in _FINE)])
        return low, high

    def error(self, candidate: Range, bits: int) -> float:
        """Return the summed squared error of quantizing what was seen over `candidate`."""
        return _error(self._spread(), candidate, bits)

    def _spread(self) -> _Spread:
        filled = np.flatnonzero(self._histogram.counts)
        values = np.clip(self._histogram.centers()[filled], *self.observed)
        return _Spread(values, self._histogram.counts[filled].astype(np.float64), self._histogram.width**2 / 12)


class _Spread(NamedTuple):
    """Middle and count of the filled bins, and the variance of values within one bin."""

    values: np.ndarray
    counts: np.ndarray
    within: float


def _error(spread: _Spread, candidate: Range, bits: int) -> float:
    quantization = ActivationQuantization.from_range(*candidate, bits)
    scale, zero = quantization.scale, quantization.zero_point
    levels = np.clip(np.rint(spread.values / scale) + zero, quantization.lowest, quantization.highest)
    errors = (levels - zero) * scale - spread.values
    # Values lie around the middle of their bin, which only matters where a step is finer than a bin.
    return float(np.dot(spread.counts, errors * errors) + spread.counts.sum() * min(spread.within, scale * scale / 12))
