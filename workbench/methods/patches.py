"""Unfolds what a layer reads into the rows that its weight multiplies, so that methods see matrices and nothing else.

Notation: x (N, channels, positions …) of a convolution or (…, in) of a matrix product; rows (n, columns), one an output
position of a sample, or (groups, n, columns) where groups of channels have weights of their own. Positions are counted
in elements of the axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from workbench.graph.model import Node

# Elements that are unfolded at a time.
_CHUNK = 8_000_000


class Rows(Protocol):
    """Makes rows of a value."""

    def of(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the rows of one batch in pieces (…, n, columns)."""
        ...


@dataclass(frozen=True)
class Windows:
    """Where the kernel of a convolution lies on its input, once for every output position.

    Attributes:
        kernel: Its size along every spatial axis.
        strides: From one window to the next; transposed, the output positions from one input position to the next.
        dilations: From one weight of the kernel to the next.
        pads: Zeros before every axis, then those behind; negative ones cut. Those of the output where transposed.
        padding: The rule "auto_pad": NOTSET takes `pads`.
        transposed: Whether the convolution is.
        output_padding: Further positions behind the output of a transposed one.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    padding: str = "NOTSET"
    transposed: bool = False
    output_padding: tuple[int, ...] = ()

    @classmethod
    def of(cls, node: Node, kernel: Sequence[int]) -> Windows:
        """Return the windows of a Conv or ConvTranspose node with a kernel of this size."""
        rank = len(kernel)
        return cls(
            tuple(kernel),
            tuple(node.attribute("strides", (1,) * rank)),
            tuple(node.attribute("dilations", (1,) * rank)),
            tuple(node.attribute("pads", (0,) * 2 * rank)),
            str(node.attribute("auto_pad", "NOTSET")),
            node.op == "ConvTranspose",
            tuple(node.attribute("output_padding", (0,) * rank)),
        )

    @property
    def reach(self) -> tuple[int, ...]:
        """Positions from the first to the last weight of the kernel, along every axis."""
        return tuple(step * (size - 1) for size, step in zip(self.kernel, self.dilations, strict=True))

    def on(self, x: np.ndarray) -> np.ndarray:
        """Return what lies under the kernel, (N, channels, output positions …, kernel …), as a view of the padded x."""
        strides = self.strides
        if self.transposed:
            x, strides = self._spread(x), (1,) * len(strides)
        margins = self._margins(x.shape[2:])
        x = np.pad(x, [(0, 0), (0, 0), *((max(before, 0), max(behind, 0)) for before, behind in margins)])
        cut = [slice(max(-b, 0), size - max(-e, 0)) for (b, e), size in zip(margins, x.shape[2:], strict=True)]
        x = x[(slice(None), slice(None), *cut)]
        windows = np.lib.stride_tricks.sliding_window_view(x, [r + 1 for r in self.reach], tuple(range(2, x.ndim)))
        taken = [slice(None, None, stride) for stride in strides]
        taps = [slice(None, None, step) for step in self.dilations]
        windows = windows[(slice(None), slice(None), *taken, *taps)]
        # A transposed convolution is a convolution with the kernel turned around.
        return np.flip(windows, tuple(range(x.ndim, windows.ndim))) if self.transposed else windows

    def _margins(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return the zeros before and behind axes of these sizes."""
        rank = len(self.kernel)
        pads = self.pads if self.padding == "NOTSET" else (0,) * 2 * rank
        ends = list(zip(pads[:rank], pads[rank:], strict=True))
        if self.transposed:
            further = self.output_padding
            return [(r - b, r - e + more) for r, (b, e), more in zip(self.reach, ends, further, strict=True)]
        if not self.padding.startswith("SAME"):
            return ends
        margins = []
        for size, stride, reach in zip(sizes, self.strides, self.reach, strict=True):
            both = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
            less, more = both // 2, both - both // 2
            margins.append((more, less) if self.padding == "SAME_LOWER" else (less, more))
        return margins

    def _spread(self, x: np.ndarray) -> np.ndarray:
        """Return x with stride - 1 zeros between neighbours, which a transposed convolution slides over."""
        sizes = [(size - 1) * stride + 1 for size, stride in zip(x.shape[2:], self.strides, strict=True)]
        wide = np.zeros((*x.shape[:2], *sizes), x.dtype)
        wide[(slice(None), slice(None), *(slice(None, None, stride) for stride in self.strides))] = x
        return wide


class LayerRows:
    """All rows of what a Conv, ConvTranspose, Gemm or MatMul reads, in float32; implements Rows.

    Columns go through the kernel positions, and at each of them through the input channels of the group.

    Args:
        node: The layer.
        kernel: Spatial size of its kernel; () of a matrix.
        groups: Of a convolution.
    """

    def __init__(self, node: Node, kernel: Sequence[int] = (), groups: int = 1) -> None:
        self.windows = Windows.of(node, kernel) if kernel else None
        self._groups = groups
        self._turned = bool(node.op == "Gemm" and node.attribute("transA", 0))

    def of(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the rows (groups, n, columns) of a batch in pieces of bounded memory."""
        windows = self.windows
        if windows is None:
            rows = x.T if self._turned else x.reshape(-1, x.shape[-1])
            yield np.ascontiguousarray(rows, np.float32)[None]
            return
        copies = prod((*windows.kernel, *windows.strides) if windows.transposed else windows.kernel)
        step = max(_CHUNK // max(x[0].size * copies, 1), 1)
        for start in range(0, len(x), step):
            yield self._unfolded(windows.on(np.asarray(x[start : start + step], np.float32)), len(windows.kernel))

    def _unfolded(self, windows: np.ndarray, rank: int) -> np.ndarray:
        samples, channels = windows.shape[:2]
        inputs = channels // self._groups
        # (N, groups, channels, positions …, kernel …) → (groups, N, positions …, kernel …, channels)
        windows = windows.reshape(samples, self._groups, inputs, *windows.shape[2:])
        columns = inputs * prod(windows.shape[-rank:])
        order = (1, 0, *range(3, windows.ndim), 2)
        return np.ascontiguousarray(windows.transpose(order)).reshape(self._groups, -1, columns)


class SampledRows:
    """Rows at a few random positions, the same ones in all samples of a batch; implements Rows.

    Columns go through the input channels, and in each of them through the kernel positions, as a Conv stores them.

    Args:
        node: A Conv without groups, or a Gemm or MatMul.
        kernel: Spatial size of its kernel; () of a matrix.
        positions: Rows that are taken of each sample.
        seed: Of their choice.
    """

    def __init__(self, node: Node, kernel: Sequence[int], positions: int, seed: int) -> None:
        self._windows = Windows.of(node, kernel) if kernel else None
        self._positions = positions
        self._rng = np.random.default_rng(seed)

    def of(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the rows (n, columns) of a batch, in its own precision."""
        if self._windows is not None:
            windows = self._windows.on(x)
            sizes = windows.shape[2 : 2 + len(self._windows.kernel)]
            taken = self._taken(prod(sizes))
            chosen: tuple[Any, ...] = (slice(None), slice(None), *np.unravel_index(taken, sizes))
            yield np.moveaxis(windows[chosen], 2, 0).reshape(len(x) * len(taken), -1)
        elif x.ndim == 2:
            yield x
        else:
            steps = x.reshape(len(x), -1, x.shape[-1])
            yield steps[:, self._taken(steps.shape[1])].reshape(-1, x.shape[-1])

    def _taken(self, count: int) -> np.ndarray:
        return self._rng.permutation(count)[: self._positions]


class ChannelRows:
    """The channels of a value at every position of every sample, in float64; implements Rows.

    Args:
        axis: Of the channels: 1 for a convolution's output, -1 for a matrix product's.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis

    def of(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the rows (N · positions, channels) of a batch."""
        yield np.moveaxis(x, self._axis, -1).reshape(-1, x.shape[self._axis]).astype(np.float64)
