"""Splits a matrix by projecting what it computes on a few directions, with scales that suit training and integers."""

from __future__ import annotations

import numpy as np

from workbench.api import Factor


def projected(weight: np.ndarray, directions: np.ndarray) -> tuple[Factor, Factor]:
    """Return W·V and V^T for W (in, out) and orthonormal V (out, r), both scaled to the same norm per component."""
    left = weight @ directions
    norms = np.linalg.norm(left, axis=0)
    scale = np.sqrt(np.where(norms > 0, norms, 1.0))
    return Factor(left / scale), Factor(scale[:, None] * directions.T)


def strongest(second: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the energies (count,) and directions (channels, count) of a covariance, largest first."""
    values, vectors = np.linalg.eigh(second)
    return np.maximum(values[::-1], 0.0)[:count], vectors[:, ::-1][:, :count]
