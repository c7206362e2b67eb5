"""Spatial decomposition of convolutions: a column of the kernel, then a row."""

from __future__ import annotations

import numpy as np

from workbench.api import Factor, Factors, Tools

from .factorization import Split, Subject
from .kernels import KernelFactorization
from .ranks import kept_share


class SpatialSvd(KernelFactorization):
    """Replaces a convolution (out, in, h, w) by (r, in, h, 1) and (out, r, 1, w).

    The SVD of the weight arranged as (in·h, out·w) is truncated, which is the closest pair of its rank. The first takes
    stride, padding and dilation along the height, the second along the width. Full rank: min(in·h, out·w). Energy:
    squares of the singular values.
    """

    id = "decompose.spatial_svd"
    title = "Spatial decomposition of convolutions"
    summary = "Splits a convolution into a vertical and a horizontal one."
    source = "Jaderberg et al., 2014, Speeding up Convolutional Neural Networks with Low Rank Expansions"

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str | None:
        """Refuse kernels without height and width."""
        if len(shape) != 4 or min(shape[2:]) < 2:
            return "its kernel has no height and width to separate"
        return None

    def decompose(self, subject: Subject, tools: Tools) -> tuple[Split, np.ndarray]:
        """Return the vertical and the horizontal convolution, and their product."""
        out, inner, height, width = subject.shape
        matrix = subject.weight().transpose(1, 2, 0, 3).reshape(inner * height, out * width)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        rank = subject.rule.of(values**2)
        root = np.sqrt(values[:rank])
        vertical = (left[:, :rank] * root).T.reshape(rank, inner, height, 1)
        horizontal = (root[:, None] * right[:rank]).reshape(rank, out, width).transpose(1, 0, 2)[:, :, None]
        factors = (Factor(vertical, axes=(0,)), Factor(horizontal, axes=(1,)))
        near = (
            ((left[:, :rank] * values[:rank]) @ right[:rank]).reshape(inner, height, out, width).transpose(2, 0, 1, 3)
        )
        return Split(Factors(factors), (rank,), (len(values),), kept_share(values**2, rank)), near
