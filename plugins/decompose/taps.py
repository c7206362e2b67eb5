"""Keeps the mean of what a convolution computes although its weights are only near the old ones.

Notation: taps T (in, k…) = mean over samples and output positions of what lies under each tap of the kernel; the mean
of the result is W·T, so that weights W' near W need the bias (W - W')·T (Nagel et al., 2019, from data).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from workbench.api import Node


class TapMeans:
    """Observer of a convolution's input that takes T for kernels of any stride, padding and dilation.

    Args:
        node: The convolution.
        kernel: Its size.
    """

    def __init__(self, node: Node, kernel: Sequence[int]) -> None:
        ones = (1,) * len(kernel)
        self._kernel = tuple(kernel)
        self._strides = tuple(node.attribute("strides", ones))
        self._dilations = tuple(node.attribute("dilations", ones))
        self._automatic = str(node.attribute("auto_pad", "NOTSET"))
        self._pads = tuple(node.attribute("pads", (0,) * 2 * len(kernel)))
        self._count = 0
        self._sum: np.ndarray | None = None

    def update(self, array: np.ndarray) -> None:
        """Take the input of one batch (N, in, …)."""
        mean = array.mean(axis=0, dtype=np.float64)
        margins = [(0, 0), *(self._margin(axis, size) for axis, size in enumerate(mean.shape[1:]))]
        padded = np.pad(mean, margins)
        taps = np.empty((len(mean), *self._kernel))
        for place in product(*(range(size) for size in self._kernel)):
            target: tuple[slice | int, ...] = (slice(None), *place)
            window: list[slice] = [slice(None)]
            for axis, tap in enumerate(place):
                step, spread = self._strides[axis], self._dilations[axis]
                last = padded.shape[axis + 1] - spread * (self._kernel[axis] - 1) - 1
                window.append(slice(tap * spread, tap * spread + last // step * step + 1, step))
            taps[target] = padded[tuple(window)].reshape(len(mean), -1).mean(axis=1)
        self._sum = taps * len(array) + (0.0 if self._sum is None else self._sum)
        self._count += len(array)

    def shift(self, weight: np.ndarray, near: np.ndarray) -> np.ndarray | None:
        """Return the bias (out,) that keeps the mean when `near` takes the place of `weight`; None if none was seen."""
        if self._sum is None or not np.isfinite(self._sum).all():
            return None
        return np.asarray(((weight - near) * (self._sum / self._count)).reshape(len(weight), -1).sum(axis=1))

    def _margin(self, axis: int, size: int) -> tuple[int, int]:
        if not self._automatic.startswith("SAME"):
            return (0, 0) if self._automatic == "VALID" else (self._pads[axis], self._pads[axis + len(self._kernel)])
        reach = self._dilations[axis] * (self._kernel[axis] - 1) + 1
        whole = max((-(-size // self._strides[axis]) - 1) * self._strides[axis] + reach - size, 0)
        less = whole // 2
        return (less, whole - less) if self._automatic == "SAME_UPPER" else (whole - less, less)
