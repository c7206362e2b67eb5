"""What decompositions of convolutions share that look at weights: their means are kept where samples are at hand."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
from pydantic import Field

from workbench.api import DataError, Factors, Tools, observe_samples

from .factorization import Factorization, FactorizationParameters, Split, Subject
from .taps import TapMeans


class KernelParameters(FactorizationParameters):
    """Parameters of decompositions of kernels."""

    mean_samples: int = Field(
        default=64,
        ge=0,
        le=100_000,
        description="Training samples on which the mean of each layer's result is kept, where the recipe names data; 0 "
        "leaves the means to the weights.",
    )


class KernelFactorization(Factorization):
    """Splits convolutions by their weights, and corrects their biases by the samples' means."""

    operators = ("Conv",)
    Parameters = KernelParameters

    @abstractmethod
    def decompose(self, subject: Subject, tools: Tools) -> tuple[Split, np.ndarray]:
        """Return the factors, and the weight (out, in, k…) that they amount to."""

    def measure(self, subjects: tuple[Subject, ...], tools: Tools) -> None:
        """Take the means under the taps of every kernel."""
        self._taps: dict[str, TapMeans] = {}
        samples = self.parameters.mean_samples
        if tools.data is None or not samples:
            return
        taps = {subject.node.name: TapMeans(subject.node, subject.shape[2:]) for subject in subjects}
        watched = [(subject.node.inputs[0], taps[subject.node.name]) for subject in subjects]
        try:
            progress = tools.progress.part(0.0, 0.6, "means")
            observe_samples(subjects[0].graph, watched, tools.data, tools, samples, progress=progress)
        except DataError as error:
            tools.log(f"The means are left to the weights: {error}")
            return
        self._taps = taps

    def split(self, subject: Subject, tools: Tools) -> Split:
        """Return the layer's factors with what keeps the mean."""
        split, near = self.decompose(subject, tools)
        taps = self._taps.get(subject.node.name)
        if taps is None:
            return split
        return replace(split, factors=Factors(split.factors.factors, taps.shift(subject.weight(), near)))
