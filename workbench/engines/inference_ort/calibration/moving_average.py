"""Range from a moving average of extremes: one unusual stretch of samples moves it a little, and is forgotten.

The extremes are those of 32 samples each, whatever batches the samples arrive in (Jacob et al., 2018, section 3.1,
average over training batches); the order of the samples matters by the nature of the thing.
"""

from __future__ import annotations

import numpy as np

from workbench.engines.inference_ort.calibration._base import Calibrator, Range, with_zero

_STRETCH = 32


class MovingAverage(Calibrator):
    """Smallest and largest value of each stretch of samples, averaged with weights that fade; whatever the bits.

    Args:
        name: Of the value.
        momentum: 0-1, how much of the average stays when a stretch of 32 samples is added. The average is unbiased
            from the first stretch on; an unfinished stretch counts by its share of samples.
    """

    def __init__(self, name: str, momentum: float = 0.9) -> None:
        super().__init__(name)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum is {momentum}, expected at least 0 and less than 1")
        self._momentum = momentum
        self._weight = 0.0
        self._sums = (0.0, 0.0)
        self._samples = 0
        self._stretch = (np.inf, -np.inf)

    def accumulate(self, array: np.ndarray) -> None:
        """Go through the batch in stretches."""
        samples = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
        start = 0
        while start < len(samples):
            part = samples[start : start + _STRETCH - self._samples]
            start += len(part)
            self._samples += len(part)
            low, high = self._stretch
            self._stretch = min(low, float(part.min())), max(high, float(part.max()))
            if self._samples == _STRETCH:
                self._sums, self._weight = self._with_stretch()
                self._samples, self._stretch = 0, (np.inf, -np.inf)

    def range(self, bits: int) -> Range:
        """Return the average of the extremes."""
        (low, high), weight = self._with_stretch() if self._samples else (self._sums, self._weight)
        if weight == 0.0:
            return 0.0, 0.0
        # The quotient of two rounded sums may lie a last digit outside of what it averages.
        return with_zero(max(low / weight, self.low), min(high / weight, self.high))

    def _with_stretch(self) -> tuple[Range, float]:
        kept = self._momentum ** (self._samples / _STRETCH)
        (low, high), (lowest, highest) = self._sums, self._stretch
        sums = low * kept + lowest * (1 - kept), high * kept + highest * (1 - kept)
        return sums, self._weight * kept + (1 - kept)
