"""What every calibrator is: an observer of one value that ends with a range per bit-width."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from workbench.domain.errors import DataError

Range = tuple[float, float]


class Calibrator(ABC):
    """Watches one value in memory that does not grow with the samples; implements Observer.

    Args:
        name: Of the value, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.low = np.inf
        self.high = -np.inf

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch (N, …), any float type.

        Raises:
            DataError: it holds NaN or infinity.
        """
        if array.size == 0:
            return
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(
                f"value {self.name!r} is not finite on the calibration data",
                found="NaN" if np.isnan(low) or np.isnan(high) else "infinity",
                action="Look for NaN in the data and check `preprocess`.",
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.accumulate(array)

    @property
    def observed(self) -> Range:
        """Smallest and largest value seen; (0, 0) before the first."""
        return (self.low, self.high) if self.low <= self.high else (0.0, 0.0)

    @abstractmethod
    def accumulate(self, array: np.ndarray) -> None:
        """Take a batch that is known to be finite and not empty."""

    @abstractmethod
    def range(self, bits: int) -> Range:
        """Return the range (low ≤ 0 ≤ high) to spread 2^bits levels over."""


def with_zero(low: float, high: float) -> Range:
    """Return the range widened to hold 0, which padding and rectifiers need exactly."""
    return min(low, 0.0), max(high, 0.0)
