"""Range that leaves a fixed share of outliers outside."""

from __future__ import annotations

import numpy as np

from workbench.engines.inference_ort.calibration._base import Calibrator, Range, with_zero
from workbench.engines.inference_ort.calibration.histogram import StreamingHistogram


class Percentile(Calibrator):
    """Leaves `100 - percentile` percent outside, split evenly between the ends; whatever the bits.

    Args:
        name: Of the value.
        percentile: 50-100; 100 is the observed range.
    """

    def __init__(self, name: str, percentile: float = 99.999) -> None:
        super().__init__(name)
        if not 50.0 < percentile <= 100.0:
            raise ValueError(f"percentile is {percentile}, expected more than 50 and at most 100")
        self._outside = (1.0 - percentile / 100.0) / 2
        self._histogram = StreamingHistogram()

    def accumulate(self, array: np.ndarray) -> None:
        """Count the batch."""
        self._histogram.add(array, max(-self.low, self.high, 0.0))

    def range(self, bits: int) -> Range:
        """Return the range between the two quantiles, never wider than what was observed."""
        counts = self._histogram.counts
        total = counts.sum()
        if total == 0:
            return 0.0, 0.0
        below = np.cumsum(counts)
        centers, half = self._histogram.centers(), self._histogram.width / 2
        low = (
            float(centers[np.searchsorted(below, self._outside * total, side="right").clip(max=len(counts) - 1)]) - half
        )
        high = float(centers[np.searchsorted(below, (1.0 - self._outside) * total, side="left")]) + half
        return with_zero(max(low, self.low), min(high, self.high))
