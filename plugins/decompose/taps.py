"""Keeps the mean of what a convolution computes although its weights are only near the old ones.

Notation: taps T (in, k…) = mean over samples and output positions of what lies under each tap of the kernel; the mean
of the result is W·T, so that weights W' near W need the bias (W - W')·T (Nagel et al., 2019, from data).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from workbench.api import Node, Windows


class TapMeans:
    """Observer of a convolution's input that takes T for kernels of any stride, padding and dilation.

    Args:
        node: The convolution.
        kernel: Its size.
    """

    def __init__(self, node: Node, kernel: Sequence[int]) -> None:
        self._windows = Windows.of(node, kernel)
        self._count = 0
        self._sum: np.ndarray | None = None

    def update(self, array: np.ndarray) -> None:
        """Take the input of one batch (N, in, …)."""
        mean = array.mean(axis=0, dtype=np.float64)
        kernel = self._windows.kernel
        (under,) = self._windows.on(mean[None])
        taps = np.empty((len(mean), *kernel))
        for place in product(*(range(size) for size in kernel)):
            at: tuple[Any, ...] = (..., *place)
            taps[at] = under[at].reshape(len(mean), -1).mean(axis=1)
        self._sum = taps * len(array) + (0.0 if self._sum is None else self._sum)
        self._count += len(array)

    def shift(self, weight: np.ndarray, near: np.ndarray) -> np.ndarray | None:
        """Return the bias (out,) that keeps the mean when `near` takes the place of `weight`; None if none was seen."""
        if self._sum is None or not np.isfinite(self._sum).all():
            return None
        return np.asarray(((weight - near) * (self._sum / self._count)).reshape(len(weight), -1).sum(axis=1))
