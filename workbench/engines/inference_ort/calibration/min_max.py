"""Range from the extremes: nothing is clipped, so one outlier costs all other values resolution."""

from __future__ import annotations

import numpy as np

from workbench.engines.inference_ort.calibration._base import Calibrator, Range, with_zero


class MinMax(Calibrator):
    """Smallest to largest value seen, whatever the bits."""

    def accumulate(self, array: np.ndarray) -> None:
        """Keep nothing beyond the extremes."""

    def range(self, bits: int) -> Range:
        """Return the observed range."""
        return with_zero(*self.observed)
