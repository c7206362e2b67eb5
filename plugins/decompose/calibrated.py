"""What decompositions share that keep what a layer computes on calibration samples: which values they need observed."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from workbench.api import RowMoments, Tools

from .factorization import Factorization, FactorizationParameters, Split, Subject
from .moments import observe


class CalibratedParameters(FactorizationParameters):
    """Parameters of decompositions that need samples."""

    calibration_samples: int = Field(
        default=256, ge=1, le=100_000, description="Training samples that the layers' values are taken from."
    )


class Calibrated(Factorization):
    """Splits layers by the moments of the values around them."""

    needs_data = True
    Parameters = CalibratedParameters

    @abstractmethod
    def wanted(self, subject: Subject) -> tuple[str, int, int]:
        """Return the value to observe, the axis of its channels and their number."""

    @abstractmethod
    def split_by(self, subject: Subject, moments: RowMoments) -> Split:
        """Return the layer's factors by the moments of the value that `wanted` named."""

    def measure(self, subjects: tuple[Subject, ...], tools: Tools) -> None:
        """Take the moments of all values that the layers need."""
        values = {value: (axis, channels) for value, axis, channels in map(self.wanted, subjects)}
        self._moments = observe(subjects[0].graph, values, tools, self.parameters.calibration_samples)

    def split(self, subject: Subject, tools: Tools) -> Split:
        """Return the layer's factors."""
        return self.split_by(subject, self._moments[self.wanted(subject)[0]])
