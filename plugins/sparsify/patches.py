"""Unfolds what a layer reads into the rows that its weight matrices multiply, whatever the layer's geometry.

Notation: x (N, channels, …) or (…, in) of a matrix; patches (groups, positions, columns) with the columns of `layout`,
so that patches · matrix^T is what the layer computes, bias aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from workbench.api import Node

from .layout import Layout

_CHUNK = 8_000_000


class Patches:
    """Unfolds the input of one layer.

    Args:
        node: The layer.
        layout: Of its weight.
    """

    def __init__(self, node: Node, layout: Layout) -> None:
        self._layout = layout
        rank = len(layout.kernel)
        self._turned = bool(node.op == "Gemm" and node.attribute("transA", 0))
        self._strides = tuple(node.attribute("strides", (1,) * rank))
        self._dilations = tuple(node.attribute("dilations", (1,) * rank))
        self._pads = tuple(node.attribute("pads", (0,) * 2 * rank))
        self._auto = str(node.attribute("auto_pad", "NOTSET"))
        self._behind = tuple(node.attribute("output_padding", (0,) * rank))
        self._reach = tuple(step * (size - 1) for size, step in zip(layout.kernel, self._dilations, strict=True))

    def of(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the patches of a batch in pieces of bounded memory, in float32."""
        if not self._layout.op.startswith("Conv"):
            rows = x.T if self._turned else x.reshape(-1, x.shape[-1])
            yield np.ascontiguousarray(rows, np.float32)[None]
            return
        copies = (
            prod(self._layout.kernel) if self._layout.op == "Conv" else prod((*self._layout.kernel, *self._strides))
        )
        step = max(_CHUNK // max(x[0].size * copies, 1), 1)
        for start in range(0, len(x), step):
            yield self._unfolded(np.asarray(x[start : start + step], np.float32))

    def _unfolded(self, x: np.ndarray) -> np.ndarray:
        layout, spatial = self._layout, range(2, x.ndim)
        strides = self._strides
        if layout.op == "ConvTranspose":
            x, strides = self._spread(x), (1,) * len(strides)
            ends = zip(self._pads[: len(strides)], self._pads[len(strides) :], self._behind, strict=True)
            if self._auto == "VALID":
                ends = zip(*[(0,) * len(strides)] * 2, self._behind, strict=True)
            widths = [(r - b, r - e + more) for r, (b, e, more) in zip(self._reach, ends, strict=True)]
        else:
            widths = self._widths(x.shape[2:])
        x = np.pad(x, [(0, 0), (0, 0), *((max(b, 0), max(e, 0)) for b, e in widths)])
        cut = [slice(max(-b, 0), size - max(-e, 0)) for (b, e), size in zip(widths, x.shape[2:], strict=True)]
        x = x[(slice(None), slice(None), *cut)]
        windows = np.lib.stride_tricks.sliding_window_view(x, [r + 1 for r in self._reach], tuple(spatial))
        taken = [slice(None, None, stride) for stride in strides]
        taps = [slice(None, None, step) for step in self._dilations]
        windows = windows[(slice(None), slice(None), *taken, *taps)]
        if layout.op == "ConvTranspose":
            windows = np.flip(windows, tuple(range(windows.ndim - len(strides), windows.ndim)))
        # (N, groups, channels, positions …, kernel …) → (groups, N, positions …, kernel …, channels)
        windows = windows.reshape(len(x), layout.groups, layout.inputs, *windows.shape[2:])
        order = (1, 0, *range(3, windows.ndim), 2)
        return np.ascontiguousarray(windows.transpose(order)).reshape(layout.groups, -1, layout.columns)

    def _widths(self, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
        if self._auto == "NOTSET":
            rank = len(sizes)
            return list(zip(self._pads[:rank], self._pads[rank:], strict=True))
        if self._auto == "VALID":
            return [(0, 0)] * len(sizes)
        widths = []
        for size, stride, reach in zip(sizes, self._strides, self._reach, strict=True):
            both = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
            less, more = both // 2, both - both // 2
            widths.append((less, more) if self._auto == "SAME_UPPER" else (more, less))
        return widths

    def _spread(self, x: np.ndarray) -> np.ndarray:
        """Return x with stride - 1 zeros between neighbours, which a transposed convolution slides over."""
        sizes = [(size - 1) * stride + 1 for size, stride in zip(x.shape[2:], self._strides, strict=True)]
        wide = np.zeros((*x.shape[:2], *sizes), x.dtype)
        wide[(slice(None), slice(None), *(slice(None, None, stride) for stride in self._strides))] = x
        return wide
