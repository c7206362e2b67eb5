"""The layers that read a group's channels, and the second moments of what they read: all that least squares needs.

Notation: a reader multiplies rows x (p,) of its input with its weight W (o, p). For a convolution p counts channels
and kernel positions, channel by channel, and rows are taken at some positions of each picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from workbench.api import (
    ChannelGroup,
    ModelGraph,
    Node,
    RowMoments,
    RowObserver,
    SampledRows,
    Tools,
    needed_data,
    observe_samples,
)

from .sites import batch_size

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

    def moments(self, graph: ModelGraph, seed: int) -> tuple[RowObserver[SampledRows], RowMoments]:
        """Return an observer of what is read, at some positions of each sample, and the moments (p,) it adds up."""
        shape = graph.constant_shape(self.weight) or ()
        turned = self.node.op == "Conv" or self.node.attribute("transB", 0)
        inputs = shape[1] if turned else shape[0]
        found = RowMoments(inputs * self.kernel)
        kernel = shape[2:] if self.node.op == "Conv" else ()
        return RowObserver(SampledRows(self.node, kernel, _ROWS_PER_SAMPLE, seed), found), found

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


def observe_moments(
    graph: ModelGraph, groups: Iterable[ChannelGroup], tools: Tools, samples: int, method: str
) -> dict[str, RowMoments]:
    """Return the moments of all readers of these groups, by layer, from one pass over samples.

    Raises:
        DataError: the recipe names no data.
        CancelledError: cancelled.
    """
    readers = {reader.node.name: reader for group in groups for reader, _ in group_readers(graph, group)}
    watched = {layer: reader.moments(graph, tools.seed) for layer, reader in readers.items()}
    values = [reader.value for reader in readers.values()]
    observe_samples(
        graph,
        [(readers[layer].value, observer) for layer, (observer, _) in watched.items()],
        needed_data(tools, method),
        tools,
        samples,
        batch_size=batch_size(graph, values),
    )
    return {layer: moments for layer, (_, moments) in watched.items()}
