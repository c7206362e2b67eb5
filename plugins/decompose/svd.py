"""Truncated SVD of matrices: the best approximation of the weights themselves, whatever is multiplied with them."""

from __future__ import annotations

import numpy as np

from workbench.api import Factor, Factors, Tools

from .factorization import Factorization, Split, Subject
from .ranks import kept_share


class PlainSvd(Factorization):
    """Replaces y = x·W by y = (x·L)·R with W ≈ L·R, the closest of its rank (Eckart & Young, 1936).

    Full rank: min(in, out). Energy: squares of W's singular values. Where calibration samples are at hand,
    decompose.asvd keeps more of what the layer computes at the same rank.
    """

    id = "decompose.svd"
    title = "SVD of matrices"
    summary = "Splits linear layers into two by a truncated SVD of their weights; needs no data."
    source = "Eckart & Young, 1936; Denton et al., 2014"
    operators = ("Gemm", "MatMul")

    def split(self, subject: Subject, tools: Tools) -> Split:
        """Return L (in, r) and R (r, out)."""
        left, values, right = np.linalg.svd(subject.weight(), full_matrices=False)
        rank = subject.rule.of(values**2)
        root = np.sqrt(values[:rank])
        factors = (Factor(left[:, :rank] * root), Factor(root[:, None] * right[:rank]))
        return Split(Factors(factors), (rank,), (len(values),), kept_share(values**2, rank))
