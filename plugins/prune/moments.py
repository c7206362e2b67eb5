"""Second moments of what a layer reads: all that least squares needs to know of the samples.

Notation: a reader multiplies rows x (p,) of its input with its weight W (o, p). For a convolution p counts channels
and kernel positions, channel by channel, and rows are taken at some positions of each picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, Node, Tools

from .sites import batch_size
from .subject import needed_data

Positions = tuple[tuple[int, ...], ...]
# Rows of one sample are much alike: He et al. (2017) take 10.
_ROWS_PER_SAMPLE = 10


@dataclass(frozen=True)
class Reader:
    """A layer whose products can be written as W x.

    Attributes:
        node: The layer.
        value: What it reads.
        weight: Initializer of its weight.
        kernel: Weights of one input channel and one output.
    """

    node: Node
    value: str
    weight: str
    kernel: int

    @staticmethod
    def of(graph: ModelGraph, layer: str) -> Reader | None:
        """Return the reader that a layer is, or None: grouped, transposed and recurrent layers are none."""
        node = graph.node(layer)
        weight = node.inputs[1] if len(node.inputs) > 1 else ""
        shape = graph.constant_shape(weight) if weight in graph.initializers else None
        if shape is None or len(graph.consumers(weight)) > 1:
            return None
        if node.op == "Conv":
            plain = node.attribute("group", 1) == 1
            size = int(np.prod(shape[2:], dtype=np.int64))
            return Reader(node, node.inputs[0], weight, size) if plain and len(shape) == 4 else None
        plain = node.op == "MatMul" or (
            node.op == "Gemm"
            and not node.attribute("transA", 0)
            and node.attribute("alpha", 1.0) == node.attribute("beta", 1.0) == 1.0
        )
        return Reader(node, node.inputs[0], weight, 1) if plain and len(shape) == 2 else None

    def matrix(self, graph: ModelGraph) -> np.ndarray:
        """Return the weight as (o, p)."""
        weight = graph.constant(self.weight)
        assert weight is not None
        if self.node.op == "Conv" or (self.node.op == "Gemm" and self.node.attribute("transB", 0)):
            return weight.reshape(len(weight), -1).astype(np.float64)
        return weight.T.astype(np.float64)

    def stored(self, graph: ModelGraph, matrix: np.ndarray) -> np.ndarray:
        """Return a matrix (o, p) in the weight's own layout and type."""
        weight = graph.constant(self.weight)
        assert weight is not None
        turned = matrix if self.node.op == "Conv" or self.node.attribute("transB", 0) else matrix.T
        return np.ascontiguousarray(turned.reshape(weight.shape).astype(weight.dtype))

    def columns(self, positions: Positions) -> list[np.ndarray]:
        """Return for every unit the columns of W that read its channels."""
        inner = np.arange(self.kernel)
        return [(np.asarray(places, np.int64)[:, None] * self.kernel + inner[None]).reshape(-1) for places in positions]


def group_readers(graph: ModelGraph, group: ChannelGroup) -> list[tuple[Reader, Positions]]:
    """Return the readers of a group's channels, each with the positions of all units."""
    found = []
    for member in group.members:
        reader = Reader.of(graph, member.layer) if member.axis == "in" else None
        if reader is not None:
            found.append((reader, member.positions))
    return found


class Moments:
    """Mean and covariance of the rows that a reader reads; implements Observer.

    Args:
        reader: Whose input is followed.
        kernel: Height and width of its kernel, () for a matrix.
        seed: Of the choice of positions.
    """

    def __init__(self, reader: Reader, kernel: tuple[int, ...], seed: int) -> None:
        self._node, self._kernel = reader.node, kernel
        self._rng = np.random.default_rng(seed)
        self.count = 0
        self._first: np.ndarray | float = 0.0
        self._second: np.ndarray | float = 0.0

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        rows = self._patches(array) if self._kernel else self._vectors(array)
        self.count += len(rows)
        self._first = self._first + rows.sum(axis=0, dtype=np.float64)
        self._second = self._second + (rows.T @ rows).astype(np.float64)

    def _vectors(self, array: np.ndarray) -> np.ndarray:
        if array.ndim == 2:
            return array
        steps = array.reshape(len(array), -1, array.shape[-1])
        taken = self._rng.permutation(steps.shape[1])[:_ROWS_PER_SAMPLE]
        return steps[:, taken].reshape(-1, array.shape[-1])

    def _patches(self, array: np.ndarray) -> np.ndarray:
        stride, dilation = self._node.attribute("strides", (1, 1)), self._node.attribute("dilations", (1, 1))
        reach = [dilation[axis] * (self._kernel[axis] - 1) + 1 for axis in (0, 1)]
        pads = [self._pads(axis, array.shape[2 + axis], stride[axis], reach[axis]) for axis in (0, 1)]
        padded = np.pad(array, ((0, 0), (0, 0), *pads))
        sizes = [(padded.shape[2 + axis] - reach[axis]) // stride[axis] + 1 for axis in (0, 1)]
        taken = self._rng.permutation(sizes[0] * sizes[1])[:_ROWS_PER_SAMPLE]
        patches = []
        for top, left in zip(taken // sizes[1] * stride[0], taken % sizes[1] * stride[1], strict=True):
            window = padded[:, :, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]
            patches.append(window.reshape(len(array), -1))
        return np.concatenate(patches)

    def _pads(self, axis: int, size: int, stride: int, reach: int) -> tuple[int, int]:
        """Return how many zeros the convolution puts before and behind an axis of this size."""
        rule = self._node.attribute("auto_pad", "NOTSET")
        if rule == "NOTSET":
            pads = self._node.attribute("pads", (0, 0, 0, 0))
            return int(pads[axis]), int(pads[axis + 2])
        total = max((-(-size // stride) - 1) * stride + reach - size, 0) if rule.startswith("SAME") else 0
        small, large = total // 2, total - total // 2
        return (large, small) if rule == "SAME_LOWER" else (small, large)

    @property
    def mean(self) -> np.ndarray:
        """Mean row (p,)."""
        return np.asarray(self._first) / max(self.count, 1)

    def covariance(self, *, centred: bool) -> np.ndarray:
        """Return the covariance of the rows (p, p); not `centred`: their second moments."""
        second = np.asarray(self._second) / max(self.count, 1)
        return second - np.outer(self.mean, self.mean) if centred else second


def observe_moments(
    graph: ModelGraph, groups: Iterable[ChannelGroup], tools: Tools, samples: int, method: str
) -> dict[str, Moments]:
    """Return the moments of all readers of these groups, by layer, from one pass over samples.

    Raises:
        DataError: the recipe names no data.
        CancelledError: cancelled.
    """
    readers = {reader.node.name: reader for group in groups for reader, _ in group_readers(graph, group)}
    found = {layer: Moments(reader, _kernel(graph, reader), tools.seed) for layer, reader in readers.items()}
    by_value: dict[str, list[Moments]] = {}
    for layer, reader in readers.items():
        by_value.setdefault(reader.value, []).append(found[layer])
    tools.inference.observe(
        graph,
        by_value,
        needed_data(tools, method).calibration(samples, batch_size(graph, by_value)),
        progress=tools.progress,
        total=samples,
        cancel=tools.cancel,
    )
    return found


def _kernel(graph: ModelGraph, reader: Reader) -> tuple[int, ...]:
    return (graph.constant_shape(reader.weight) or ())[2:] if reader.node.op == "Conv" else ()
