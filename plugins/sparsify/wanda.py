"""Wanda: a weight counts as much as what it reads is large; one look at the data, no update."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from workbench.api import MeanSquares, ModelGraph, Parameters, Tools

from .observed import observe
from .patterns import Comparison, zeros
from .sparsification import Outcome, Sparsification, matrices_of, stored_like
from .subjects import Subject


class WandaParameters(Parameters):
    """Parameters of Wanda."""

    calibration_samples: int = Field(
        default=256,
        ge=1,
        le=100_000,
        title="Calibration samples",
        description="Training samples that the size of what the layers read is taken from.",
        json_schema_extra={"unit": "samples"},
    )
    comparison: Comparison = Field(
        default="output",
        title="Compare within",
        description="Whether every output loses the same share of its weights, as published, or weights compete "
        "within the whole layer.",
    )


class Wanda(Sparsification):
    """Sets the weights w_ij with the smallest |w_ij| · ‖x_j‖ to zero.

    ‖x_j‖ is the norm of what column j reads on the calibration samples: of an input channel at one kernel position,
    padding included. A block counts with the sum over its outputs.
    """

    id = "prune.wanda"
    title = "Sparse weights by weights and activations (Wanda)"
    summary = "Sets weights to zero that are small for how large their input is; one pass over calibration samples."
    source = "Sun et al., 2024, A Simple and Effective Pruning Approach for Large Language Models"
    needs_data = True
    Parameters = WandaParameters

    def sparse(self, graph: ModelGraph, subjects: tuple[Subject, ...], tools: Tools) -> Outcome:
        """Return the graph without the weights of least weight times input."""
        progress = tools.progress.part(0.0, 0.8, "calibration")
        energies = observe(graph, subjects, MeanSquares, tools, self.parameters.calibration_samples, progress)
        arrays: dict[str, np.ndarray] = {}
        for number, subject in enumerate(subjects):
            tools.cancel.raise_if_cancelled()
            tools.progress.update(0.8 + 0.2 * number / len(subjects), subject.name)
            weight = matrices_of(graph, subject)
            scores = np.abs(weight) * np.sqrt(energies[subject.weight].mean())[:, None, :]
            gone = zeros(scores, subject.target, self.parameters.comparison)
            arrays[subject.weight] = stored_like(graph, subject, np.where(gone, 0.0, weight))
        return Outcome(graph.with_initializers(arrays))
