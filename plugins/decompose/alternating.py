"""Fits a sum of rank-one terms to a tensor of three axes by alternating least squares.

Notation: T (o, i, k) ≈ sum over r of A[o, r] · B[i, r] · C[k, r] (Carroll & Chang, 1970; Harshman, 1970).
"""

from __future__ import annotations

import numpy as np

from workbench.api import CancelToken

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]

# Least squares with nearly parallel terms would let them grow without bound against each other.
_RIDGE = 1e-6
_ENOUGH = 1e-7


def fitted(tensor: np.ndarray, rank: int, iterations: int, seed: int, cancel: CancelToken) -> Triple:
    """Return A, B and C of `rank` terms, each term's norm spread evenly over the three.

    Args:
        tensor: T.
        rank: Number of terms, below the full one.
        iterations: Most rounds; it ends sooner where the error stands.
        seed: Of the columns that the tensor's own directions do not fill.
        cancel: Polled every round.
    """
    a, b, c = _start(tensor, rank, seed)
    last = np.inf
    for _ in range(iterations):
        cancel.raise_if_cancelled()
        a = _solve(np.einsum("oik,ir,kr->or", tensor, b, c, optimize=True), b, c)
        b = _solve(np.einsum("oik,or,kr->ir", tensor, a, c, optimize=True), a, c)
        c = _solve(np.einsum("oik,or,ir->kr", tensor, a, b, optimize=True), a, b)
        a, b, c = _balanced(a, b, c)
        error = relative_error(tensor, (a, b, c))
        if last - error < _ENOUGH:
            break
        last = error
    return a, b, c


def exact(tensor: np.ndarray) -> Triple:
    """Return the terms of full rank: one for every pair of positions on the two shortest axes."""
    longest = int(np.argmax(tensor.shape))
    others = [axis for axis in range(3) if axis != longest]
    first, second = (tensor.shape[axis] for axis in others)
    found: list[np.ndarray] = [np.zeros(0)] * 3
    found[others[0]] = np.repeat(np.eye(first), second, axis=1)
    found[others[1]] = np.tile(np.eye(second), (1, first))
    found[longest] = np.moveaxis(tensor, longest, 0).reshape(tensor.shape[longest], -1)
    return found[0], found[1], found[2]


def relative_error(tensor: np.ndarray, terms: Triple) -> float:
    """Return |T - terms|² / |T|²; 0 for a tensor of zeros."""
    total = float((tensor**2).sum())
    return float(((tensor - summed(terms)) ** 2).sum()) / total if total else 0.0


def summed(terms: Triple) -> np.ndarray:
    """Return the tensor (o, i, k) that the terms amount to."""
    a, b, c = terms
    pairs = np.einsum("ir,kr->rik", b, c)
    return np.asarray((a @ pairs.reshape(len(pairs), -1)).reshape(len(a), len(b), len(c)))


def _start(tensor: np.ndarray, rank: int, seed: int) -> Triple:
    """Return the strongest directions of every axis, filled up with seeded random ones."""
    rng = np.random.default_rng(seed)
    starts = []
    for axis in range(3):
        unfolded = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
        left = np.linalg.svd(unfolded, full_matrices=False)[0][:, :rank]
        missing = rank - left.shape[1]
        starts.append(np.concatenate([left, rng.standard_normal((len(left), missing))], axis=1))
    return starts[0], starts[1], starts[2]


def _solve(right: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    gram = (first.T @ first) * (second.T @ second)
    gram += np.eye(len(gram)) * _RIDGE * max(float(np.trace(gram)) / len(gram), 1e-30)
    return np.asarray(np.linalg.solve(gram, right.T).T)


def _balanced(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Triple:
    norms = [np.maximum(np.linalg.norm(each, axis=0), 1e-30) for each in (a, b, c)]
    common = np.cbrt(norms[0] * norms[1] * norms[2])
    return a * (common / norms[0]), b * (common / norms[1]), c * (common / norms[2])
