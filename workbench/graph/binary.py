"""Weights of signs alone: one base of ±1 a channel, or several that add up to odd levels of one integer weight.

A layer with M binary branches computes Σ s_k (B_k * x), bases B_k of ±1 with a scale each (ABC-Net, Lin et al., 2017);
residual binarization takes each base from what the ones before left (Li et al., 2017). With scales in powers of two,
s_k = 2^k · s, the branches are one layer: Σ 2^k B_k is an odd integer between -(2^M - 1) and 2^M - 1, every one of them
in exactly one way, and the sum of the M convolutions is the one convolution with it, which int8 holds exactly. That is
what is trained and deployed: the numbers of M branches at the time of one.

Notation: weight v, odd level q of it, scale s of a channel, M branches.
"""

from __future__ import annotations

import numpy as np

from workbench.graph.quantization import WeightQuantization, along

LEAST_SCALE = 1e-30
MOST_BRANCHES = 3
ROUNDS = 5
# The best scale of normal weights as a share of their mean magnitude (Max, 1960: steps of 0.9957 and 0.5860).
FIRST_SHARE = {1: 1.0, 2: 0.624, 3: 0.367}


def highest_odd(branches: int) -> int:
    """Return the largest level, 1, 3 or 7."""
    return int(2**branches - 1)


def last_jump(branches: int) -> float:
    """Return where normal weights turn into the largest level, as a share of their mean magnitude; 0 of one branch."""
    return (highest_odd(branches) - 1) * FIRST_SHARE[branches]


def odd_levels(values: np.ndarray, branches: int = 1) -> np.ndarray:
    """Return the nearest odd level of every value in units of its scale; of 0 it is 1."""
    highest = highest_odd(branches)
    return np.asarray(np.clip(2 * np.floor(values / 2) + 1, -highest, highest))


def odd_scales(rows: np.ndarray, branches: int = 1) -> np.ndarray:
    """Return the scales (channels,) of the least squared error of weights (channels, rest) on odd levels.

    Of one branch that is the mean magnitude (XNOR-Net, Rastegari et al., 2016). Of more, levels and the scale that is
    best for them are taken in turn, from the one that suits normal weights.
    """
    scales = np.maximum(FIRST_SHARE[branches] * np.abs(rows).mean(1), LEAST_SCALE)
    for _ in range(ROUNDS if branches > 1 else 1):
        levels = odd_levels(rows / scales[:, None], branches).astype(rows.dtype)
        scales = np.maximum((rows * levels).mean(1) / np.square(levels).mean(1), LEAST_SCALE)
    return np.asarray(scales)


def binarized(weight: np.ndarray, axis: int | None, *, balanced: bool = False, branches: int = 1) -> WeightQuantization:
    """Return the odd levels of each channel with the scale that suits them best.

    Args:
        weight: Float weight.
        axis: Of its output channels, or None for one scale.
        balanced: Take levels and scales about the channel's mean, so that both signs are about as frequent (IR-Net,
            Qin et al., 2020).
        branches: Bases that add up, 1-3.
    """
    others = tuple(place for place in range(weight.ndim) if axis is None or place != axis % weight.ndim)
    exact = weight.astype(np.float32)
    if balanced:
        exact = exact - exact.mean(others, keepdims=True)
    rows = exact.reshape(1, -1) if axis is None else np.moveaxis(exact, axis, 0).reshape(exact.shape[axis], -1)
    scales = odd_scales(rows, branches).astype(np.float32)
    own = None if axis is None else axis % weight.ndim
    integers = odd_levels(exact / along(scales, own, weight.ndim), branches).astype(np.int8)
    return WeightQuantization(integers, scales if axis is not None else scales.reshape(()), axis, 1, branches)
