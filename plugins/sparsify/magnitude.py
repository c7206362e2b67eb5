"""Magnitude: the smallest weights go first; no data, and what every other criterion is measured against."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from workbench.api import ModelGraph, Parameters, Tools

from .patterns import Comparison, zeros
from .sparsification import Outcome, Sparsification, matrices_of, stored_like
from .subjects import Subject


class MagnitudeParameters(Parameters):
    """Parameters of magnitude pruning."""

    comparison: Comparison = Field(
        default="layer",
        title="Compare within",
        description="Whether weights compete within the whole layer, or every output loses the same share of its own.",
    )


class Magnitude(Sparsification):
    """Sets the weights of smallest magnitude to zero; a block counts with the sum of its magnitudes."""

    id = "prune.magnitude"
    title = "Sparse weights by magnitude"
    summary = "Sets the smallest weights of a layer to zero, anywhere or in a pattern; needs no data."
    source = "Han et al., 2015, Learning both Weights and Connections for Efficient Neural Networks"
    Parameters = MagnitudeParameters

    def sparse(self, graph: ModelGraph, subjects: tuple[Subject, ...], tools: Tools) -> Outcome:
        """Return the graph without the smallest weights."""
        arrays: dict[str, np.ndarray] = {}
        for number, subject in enumerate(subjects):
            tools.cancel.raise_if_cancelled()
            tools.progress.update(number / len(subjects), subject.name)
            weight = matrices_of(graph, subject)
            gone = zeros(np.abs(weight), subject.target, self.parameters.comparison)
            arrays[subject.weight] = stored_like(graph, subject, np.where(gone, 0.0, weight))
        return Outcome(graph.with_initializers(arrays))
