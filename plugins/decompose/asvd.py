"""Activation-aware SVD of matrices: keeps what the layer computes on data, not what its weights are."""

from __future__ import annotations

import numpy as np

from workbench.api import Factors, RowMoments, linear_bias, takes_shift

from .calibrated import Calibrated
from .factorization import Split, Subject
from .projection import projected, strongest
from .ranks import kept_share


class ActivationAwareSvd(Calibrated):
    """Replaces y = x·W by the product of rank r that is closest to y on the calibration samples.

    With C = E[x·x^T], the SVD of C^(1/2)·W gives the least E|x·W - x·L·R|² of all products of its rank, which equals
    projecting y on its r strongest directions V: L = W·V, R = V^T. Where the layer has a bias to put it in, directions
    are taken about the mean of y, and the mean is kept exactly. C is observed on whichever side is narrower, x or y.
    Full rank: min(in, out). Energy: of y on the calibration samples.
    """

    id = "decompose.asvd"
    title = "Activation-aware SVD of matrices"
    summary = (
        "Splits linear layers into two that keep what the layer computes on calibration samples; the better default."
    )
    source = "Chen et al., 2021 (DRONE); Yuan et al., 2023 (ASVD); Wang et al., 2025 (SVD-LLM)"
    operators = ("Gemm", "MatMul")

    def wanted(self, subject: Subject) -> tuple[str, int, int]:
        """Return the narrower side of the layer."""
        if _observes_input(subject):
            return subject.node.inputs[0], -1, subject.shape[0]
        return subject.node.outputs[0], -1, subject.shape[1]

    def split_by(self, subject: Subject, moments: RowMoments) -> Split:
        """Return L (in, r) and R (r, out), and what keeps the mean."""
        graph, name, weight = subject.graph, subject.node.name, subject.weight()
        shifts = takes_shift(graph, name)
        if _observes_input(subject):
            gain = float(subject.node.attribute("alpha", 1.0))
            energies, directions = _from_inputs(moments, weight, shifts)
            mean = gain * (moments.mean() @ weight)
        else:
            bias = linear_bias(graph, name)
            mean = moments.mean() - (0.0 if bias is None else bias)
            center = moments.mean() if shifts else moments.mean() - mean
            energies, directions = strongest(moments.about(center), min(weight.shape))
        rank = subject.rule.of(energies)
        kept = directions[:, :rank]
        factors = Factors(projected(weight, kept), mean - kept @ (kept.T @ mean) if shifts else None)
        return Split(factors, (rank,), (len(energies),), kept_share(energies, rank))


def _observes_input(subject: Subject) -> bool:
    """Whether the layer's input is observed: where it is narrower than the output, and lies in rows."""
    return subject.shape[0] < subject.shape[1] and not subject.node.attribute("transA", 0)


def _from_inputs(moments: RowMoments, weight: np.ndarray, centered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (in,) and directions (out, in) of y, largest first, from the moments of x."""
    second = moments.about(moments.mean() if centered else np.zeros(len(weight)))
    values, vectors = np.linalg.eigh(second)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    _, singular, right = np.linalg.svd(root @ weight, full_matrices=False)
    return singular**2, right.T
